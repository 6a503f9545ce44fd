// The AWS SDK for JavaScript v3: BatchWriteCommand with 16 in flight, and unprocessed items again.
import { removeAll, report } from './common.mjs';

await report(() => removeAll(16));
