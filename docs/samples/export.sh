#!/bin/sh
# Get everything on file, sealed for the age recipient $RECIPIENT: one operator asks,
# another agrees, and within three days it can be taken.
set -eu
post() { curl --silent --show-error --fail-with-body --request POST "$@"; }
export=$(post --header "Authorization: Bearer $MUSTER_TOKEN" --header 'Content-Type: application/json' "$MUSTER_SERVER/v1/exports" \
	--data '{"case": "move-2027", "recipients": ["'"$RECIPIENT"'"]}' | sed -n 's/.*"export":"\([^"]*\)".*/\1/p')
post --header "Authorization: Bearer $SECOND_TOKEN" --header 'If-Match: "1"' "$MUSTER_SERVER/v1/exports/$export/agreement"
post --header "Authorization: Bearer $MUSTER_TOKEN" --output everything.age "$MUSTER_SERVER/v1/exports/$export/archive"
