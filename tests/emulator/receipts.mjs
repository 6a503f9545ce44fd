// Verifies receipts with the npm package jose: one on each line of standard input, as
// {"receipt", "keys"}; prints what each says, or null for one that does not hold.
import { createInterface } from 'node:readline';
import { createLocalJWKSet, jwtVerify } from 'jose';

for await (const line of createInterface({ input: process.stdin })) {
  const { receipt, keys } = JSON.parse(line);
  let said = null;
  try {
    const options = { algorithms: ['ES256'], typ: 'deletion-receipt+jwt' };
    said = (await jwtVerify(receipt, createLocalJWKSet(keys), options)).payload;
  } catch {
    // It does not hold.
  }
  console.log(JSON.stringify(said));
}
