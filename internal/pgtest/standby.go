package pgtest

// Standby starts a server that follows o and has every commit before it is acknowledged.
func (o *Own) Standby() *Own {
	o.Helper()
	s := place(0)
	if s.err == nil {
		s.err = s.run("pg_basebackup", "-d", o.s.dsn("postgres"), "-D", s.data(), "-X", "stream", "-c", "fast", "-R", "--no-sync")
	}
	if s.err == nil {
		s.err = s.up()
	}
	if s.err != nil {
		o.Fatal(s.err)
	}
	Exec(o, o.s.dsn("postgres"), `ALTER SYSTEM SET synchronous_standby_names = '*'`)
	Exec(o, o.s.dsn("postgres"), `SELECT pg_reload_conf()`)
	for One[int64](o, o.s.dsn("postgres"), `SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'`) == 0 {
	}
	return own(o.TB, s)
}

// Promote has a standby be the server that takes writes, alone.
func (o *Own) Promote() {
	o.Helper()
	if err := o.s.run("pg_ctl", "-D", o.s.data(), "-w", "promote"); err != nil {
		o.Fatal(err)
	}
}

// Either is the DSN of a database of o's on whichever of both servers takes writes. Each
// has a second to take a connection.
func (o *Own) Either(standby *Own, dsn string) string {
	return dsn + "," + standby.s.folder + "&target_session_attrs=read-write&connect_timeout=1"
}
