// The AWS SDK for JavaScript v3: BatchWriteCommand with 16 in flight, and unprocessed items again.
import { BatchWriteCommand, QueryCommand } from "@aws-sdk/lib-dynamodb";
import { campaign, client, report, TableName } from "./common.mjs";

async function* batches() {
  let ExclusiveStartKey;
  do {
    const page = await client.send(
      new QueryCommand({
        TableName,
        KeyConditionExpression: "PK = :campaign",
        ExpressionAttributeValues: { ":campaign": `CAMPAIGN#${campaign}` },
        ProjectionExpression: "PK, SK",
        ConsistentRead: true,
        ExclusiveStartKey,
      }),
    );
    for (let at = 0; at < page.Items.length; at += 25) yield page.Items.slice(at, at + 25);
    ExclusiveStartKey = page.LastEvaluatedKey;
  } while (ExclusiveStartKey);
}

async function remove(keys) {
  let left = keys.map((Key) => ({ DeleteRequest: { Key } }));
  for (let attempt = 0; left.length > 0; attempt++) {
    const answer = await client.send(new BatchWriteCommand({ RequestItems: { [TableName]: left } }));
    left = answer.UnprocessedItems?.[TableName] ?? [];
    if (left.length > 0) {
      const bound = Math.min(1000, 50 * 2 ** attempt);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * bound));
    }
  }
}

await report(async () => {
  const inFlight = new Set();
  for await (const batch of batches()) {
    const one = remove(batch).finally(() => inFlight.delete(one));
    inFlight.add(one);
    if (inFlight.size >= 16) await Promise.race(inFlight);
  }
  await Promise.all(inFlight);
});
