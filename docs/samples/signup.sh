#!/bin/sh
# Ask Muster about one application (JSON on standard input) and print its answer. Without one
# within three seconds, twice, the application is on hold: keep it, post it again later.
body=$(cat)
for try in 1 2; do
	answer=$(printf '%s' "$body" | curl --silent --show-error --max-time 3 --write-out '\n%{http_code}' \
		--header "Authorization: Bearer $MUSTER_TOKEN" --header 'Content-Type: application/json' \
		--data-binary @- "$MUSTER_SERVER/v1/applications") || continue
	case ${answer##*
} in
	200 | 201 | 422) # 422: errors beside their fields
		printf '%s\n' "${answer%
*}"
		exit 0
		;;
	esac
done
echo hold
