// ElectroDB's batch delete with its `concurrent` option, and its own `unprocessed` sent again.
import { Entity } from 'electrodb';
import { campaign, client, report, TableName } from './common.mjs';

const Child = new Entity(
  {
    model: { entity: 'child', version: '1', service: 'campaigns' },
    attributes: { campaign: { type: 'string' }, key: { type: 'string' } },
    indexes: {
      children: {
        pk: { field: 'PK', composite: ['campaign'], template: 'CAMPAIGN#${campaign}', casing: 'none' },
        sk: { field: 'SK', composite: ['key'], template: '${key}', casing: 'none' },
      },
    },
  },
  { client, table: TableName },
);

await report(async () => {
  let cursor = null;
  do {
    const page = await Child.query
      .children({ campaign })
      .go({ cursor, ignoreOwnership: true, data: 'includeKeys', consistent: true });
    cursor = page.cursor;
    let left = page.data.map(({ SK }) => ({ campaign, key: SK }));
    for (let attempt = 0; left.length > 0; attempt++) {
      const answer = await Child.delete(left).go({ concurrent: 16 });
      left = answer.unprocessed;
      if (left.length > 0) {
        const bound = Math.min(1000, 50 * 2 ** attempt);
        await new Promise((resolve) => setTimeout(resolve, Math.random() * bound));
      }
    }
  } while (cursor);
});
