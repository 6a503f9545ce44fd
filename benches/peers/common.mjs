// What the peers in JavaScript share.
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { BatchWriteCommand, DynamoDBDocumentClient, GetCommand, QueryCommand } from '@aws-sdk/lib-dynamodb';

export const TableName = process.env.TABLE_NAME;
export const campaign = process.argv[2];
export const client = DynamoDBDocumentClient.from(
  new DynamoDBClient({ endpoint: process.env.AWS_ENDPOINT_URL_DYNAMODB, maxAttempts: 10 }),
);

// The first call, which loads what later ones need, is not measured.
export function warmUp() {
  return client.send(new GetCommand({ TableName, Key: { PK: 'none', SK: 'none' } }));
}

// Batches of a campaign's keys, or of those of one kind.
async function* batches(kind) {
  let ExclusiveStartKey;
  do {
    const page = await client.send(
      new QueryCommand({
        TableName,
        KeyConditionExpression: 'PK = :campaign' + (kind ? ' AND begins_with(SK, :kind)' : ''),
        ExpressionAttributeValues: { ':campaign': `CAMPAIGN#${campaign}`, ...(kind && { ':kind': kind }) },
        ProjectionExpression: 'PK, SK',
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

// Deletes with so many batches in flight; unprocessed items are sent again.
export async function removeAll(most, kind) {
  const inFlight = new Set();
  for await (const batch of batches(kind)) {
    const one = remove(batch).finally(() => inFlight.delete(one));
    inFlight.add(one);
    if (inFlight.size >= most) await Promise.race(inFlight);
  }
  await Promise.all(inFlight);
}

// Prints the time of some work, and the processor time of this process and of what it returns.
export async function report(work) {
  await warmUp();
  const cpu = process.cpuUsage();
  const begun = performance.now();
  const others = (await work()) ?? 0;
  const seconds = (performance.now() - begun) / 1000;
  const used = process.cpuUsage(cpu);
  console.log(JSON.stringify({ seconds, cpu: (used.user + used.system) / 1e6 + others }));
}
