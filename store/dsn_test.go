package store_test

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

func TestADSNAsToolsTakeIt(t *testing.T) {
	t.Parallel()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	web := httptest.NewTLSServer(nil)
	web.Close()
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for dsn, want := range map[string]string{
		"postgres://muster@db1/muster":                                                                                                             `dbname='muster' host='db1' port='5432' sslmode='prefer' user='muster'`,
		"postgres://muster@/muster?host=/run/pg":                                                                                                   `dbname='muster' host='/run/pg' port='5432' user='muster'`,
		"postgresql://muster@[::1]:6/muster?ssl=true":                                                                                              `dbname='muster' host='::1' port='6' sslmode='require' user='muster'`,
		"host=db1 user=muster dbname='it\\'s' sslsni = 0 sslmode=allow":                                                                            `dbname='it\'s' host='db1' port='5432' sslmode='allow' sslsni='0' user='muster'`,
		"postgres://muster@db1:5432,db2:5433/muster?target_session_attrs=read-write&sslmode=disable":                                               `connect_timeout='3' dbname='muster' host='db1,db2' port='5432,5433' sslmode='disable' target_session_attrs='read-write' user='muster'`,
		"postgres://muster@/muster?host=/run/pg,db1&connect_timeout=9&sslmode=require&sslrootcert=" + ca:                                           `connect_timeout='9' dbname='muster' host='/run/pg,db1' port='5432,5432' sslmode='verify-ca' sslrootcert='` + ca + `' user='muster'`,
		"postgres://a?b:c?d@db1/muster?sslmode=verify-full&sslrootcert=" + ca:                                                                      `dbname='muster' host='db1' port='5432' sslmode='verify-full' sslrootcert='` + ca + `' user='a?b'`,
		"postgres://muster@db1/muster?sslrootcert=system&channel_binding=require":                                                                  `channel_binding='require' dbname='muster' host='db1' port='5432' sslmode='verify-full' sslrootcert='system' user='muster'`,
		"postgres://muster@db1/muster?sslnegotiation=direct&require_auth=scram-sha-256&sslcertmode=disable&min_protocol_version=3.2&krbsrvname=pg": `dbname='muster' host='db1' krbsrvname='pg' max_protocol_version='latest' min_protocol_version='3.2' port='5432' require_auth='scram-sha-256' sslcertmode='disable' sslmode='require' sslnegotiation='direct' user='muster'`,
		`postgres://muster@db1/muster?role=a%20%5Cb&options=-c%20x.y%3Dz&application_name=%20m&pool_max_conns=3&default_query_exec_mode=exec`:      `application_name=' m' dbname='muster' host='db1' options='-c x.y=z -c role=a\\ \\\\b' port='5432' sslmode='prefer' user='muster'`,
	} {
		if target, env, err := store.ToolsDSN(dsn); err != nil || target != want {
			t.Errorf("%s:\n%s\nwant\n%s\n%q, %v", dsn, target, want, env, err)
		}
	}
}

// Their secrets are in their environment, and nowhere else.
func TestSecretsOfADSN(t *testing.T) {
	t.Parallel()
	service := filepath.Join(t.TempDir(), "services")
	if err := os.WriteFile(service, []byte("[db]\nhost=db1\npassword=hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for dsn, want := range map[string][]string{
		"postgres://muster@db1/muster":                         nil,
		"postgres://muster:hu%2fsh@db1/muster":                 {"PGPASSWORD=hu/sh"},
		"host=db1 password = 'hush it'":                        {"PGPASSWORD=hush it"},
		"postgres:///muster?service=db&servicefile=" + service: {"PGPASSWORD=hush", "PGSERVICEFILE=" + service},
	} {
		target, env, err := store.ToolsDSN(dsn)
		if slices.Sort(env); err != nil || !slices.Equal(env, want) || strings.Contains(target, "hu") {
			t.Errorf("%s: %q, %q, %v", dsn, env, target, err)
		}
	}
}

// What is wrong with a DSN, or cannot be handed on, is named, and its value is not.
func TestADSNIsRefusedByName(t *testing.T) {
	t.Parallel()
	for dsn, says := range map[string]string{
		"postgres://muster:hush@db1:nil/muster":                             "cannot be read",
		"postgres://muster:hush@db1/muster?sslmode=hush":                    "cannot be read",
		"postgres://muster:hush@db1/muster?sslrootcert=/nowhere/ca.pem":     "/nowhere/ca.pem",
		"postgres://muster:hush@db1/muster?sslpassword=hush":                "sslpassword",
		"host=db1 krbspn=hush":                                              "krbspn",
		"postgres://muster:hush@db1/muster?sslmode=verify-full":             "sslrootcert",
		"user=muster password=hush host=db1,db2 port=1,2 sslmode=verify-ca": "sslrootcert",
	} {
		_, _, err := store.ToolsDSN(dsn)
		if muster.ErrorCode(err) != muster.CodeInvalid || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}
