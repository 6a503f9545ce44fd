// What the peers in JavaScript share.
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient, GetCommand } from "@aws-sdk/lib-dynamodb";

export const TableName = process.env.TABLE_NAME;
export const campaign = process.argv[2];
export const client = DynamoDBDocumentClient.from(
  new DynamoDBClient({ endpoint: process.env.AWS_ENDPOINT_URL_DYNAMODB, maxAttempts: 10 }),
);

export async function report(work) {
  // The first call, which loads what later ones need, is not measured.
  await client.send(new GetCommand({ TableName, Key: { PK: "none", SK: "none" } }));
  const cpu = process.cpuUsage();
  const begun = performance.now();
  await work();
  const seconds = (performance.now() - begun) / 1000;
  const used = process.cpuUsage(cpu);
  console.log(JSON.stringify({ seconds, cpu: (used.user + used.system) / 1e6 }));
}
