-- What retention asks of what the gate answered and of deliveries: those of before a time;
-- and which holds are on one customer.

CREATE INDEX gate_records_last ON gate_records (last);
CREATE INDEX deliveries_at ON deliveries (at);
CREATE INDEX holds_customer ON holds (customer) WHERE lifted = 0;
