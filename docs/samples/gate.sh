# May the account acct-1 create three virtual machines? Asked of an edge or of the centre.
curl -sS --max-time 1 "$MUSTER_GATE/access/v1/evaluation" -H "Authorization: Bearer $MUSTER_ASK_TOKEN" \
  -H 'Content-Type: application/json' -d '{
    "subject": {"type": "account", "id": "acct-1"},
    "action": {"name": "add_resources"},
    "resource": {"type": "instance", "id": "new", "properties": {"product": "vm", "instances": 3}}}'
