#!/usr/bin/env bash
# Many campaigns by a loop of the AWS CLI: 25 keys of a campaign, a batch that deletes them, and
# again until there are none. It sends no unprocessed write again.
set -euo pipefail
while read -r id || [ -n "$id" ]; do
  while
    batch=$(aws dynamodb query --table-name "$TABLE_NAME" --consistent-read --output json --no-paginate \
      --limit 25 --key-condition-expression 'PK = :campaign' \
      --expression-attribute-values "{\":campaign\": {\"S\": \"CAMPAIGN#$id\"}}" \
      --query 'Items[].{DeleteRequest: {Key: {PK: PK, SK: SK}}}' \
      --endpoint-url "$AWS_ENDPOINT_URL_DYNAMODB")
    [ "$batch" != "[]" ]
  do
    aws dynamodb batch-write-item --request-items "{\"$TABLE_NAME\": $batch}" \
      --endpoint-url "$AWS_ENDPOINT_URL_DYNAMODB" >/dev/null
  done
done <"$1"
