// A handler with one read of the table by the AWS SDK v3, and a loop over Lambda's Runtime API
// around it. (AWS's own client of that API would only add to the time.)
import http from 'node:http';
import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';

const client = new DynamoDBClient({ endpoint: process.env.AWS_ENDPOINT_URL_DYNAMODB });
const runtime = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(`${runtime}/${path}`, { method }, async (response) => {
      let text = '';
      for await (const part of response) text += part;
      resolve({ headers: response.headers, text });
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function handle(event) {
  const Key = { PK: { S: `CAMPAIGN#${event.pathParameters.id}` }, SK: { S: 'CAMPAIGN' } };
  const read = new GetItemCommand({ TableName: process.env.TABLE_NAME, Key, ConsistentRead: true });
  const found = await client.send(read);
  return { statusCode: found.Item ? 200 : 404, body: '{}' };
}

for (;;) {
  const { headers, text } = await call('GET', 'next');
  const answer = await handle(JSON.parse(text));
  await call('POST', `${headers['lambda-runtime-aws-request-id']}/response`, JSON.stringify(answer));
}
