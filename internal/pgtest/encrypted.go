package pgtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster/internal/loopback"
)

// Role is who may come to an Encrypted server, with Password and a certificate.
const (
	Role     = "muster"
	Password = `p@ss?/:%41 &='\"#`
)

// Encrypted is a server of one test that listens on an address of this machine. It proves
// who it is, and lets in Role alone, encrypted, with a certificate of its authority.
type Encrypted struct {
	*Own
	CA, OtherCA string // files: who signed its certificate, and one who did not
	Cert, Key   string // files: of Role
}

// NewEncrypted starts one.
func NewEncrypted(t testing.TB) *Encrypted {
	t.Helper()
	s := place(0)
	s.make()
	if s.missing || s.err != nil {
		s.database(t) // says so
	}
	s.address = loopback.Address(t)
	host, _, _ := net.SplitHostPort(s.address)
	dir := t.TempDir()
	e := &Encrypted{CA: filepath.Join(dir, "ca.pem"), OtherCA: filepath.Join(dir, "other.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	signer := authority(t, e.CA)
	authority(t, e.OtherCA)
	signer.sign(t, &x509.Certificate{IPAddresses: []net.IP{net.ParseIP(host)}}, filepath.Join(s.folder, "cert.pem"), filepath.Join(s.folder, "key.pem"))
	signer.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: Role}}, e.Cert, e.Key)
	put(t, filepath.Join(s.folder, "ca.pem"), "CERTIFICATE", signer.cert.Raw)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(s.data(), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("pg_hba.conf", "local all postgres trust\nhostssl all "+Role+" 127.0.0.0/8 scram-sha-256 clientcert=verify-full\n")
	write("postgresql.auto.conf", "ssl = on\nssl_cert_file = '../cert.pem'\nssl_key_file = '../key.pem'\nssl_ca_file = '../ca.pem'\n")
	if u := postgresUser(); u != nil {
		for _, name := range []string{"cert.pem", "key.pem", "ca.pem"} {
			if err := os.Chown(filepath.Join(s.folder, name), int(u.Uid), int(u.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.err = s.up()
	e.Own = own(t, s)
	if s.err == nil {
		Exec(t, s.dsn("postgres"), "CREATE ROLE "+Role+" LOGIN PASSWORD '"+strings.ReplaceAll(Password, "'", "''")+"'")
	}
	return e
}

// Database makes an empty database of Role's and returns its DSN.
func (e *Encrypted) Database() string {
	e.Helper()
	local := e.Own.Database()
	name := One[string](e, local, `SELECT current_database()`)
	Exec(e, local, "ALTER DATABASE "+name+" OWNER TO "+Role)
	dsn := url.URL{Scheme: "postgres", User: url.UserPassword(Role, Password), Host: e.s.address, Path: name, RawQuery: url.Values{
		"sslmode": {"verify-full"}, "sslrootcert": {e.CA}, "sslcert": {e.Cert}, "sslkey": {e.Key}, "channel_binding": {"require"},
	}.Encode()}
	return dsn.String()
}

// signer is an authority.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// authority makes one, and a file with its certificate.
func authority(t testing.TB, file string) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &signer{cert: &x509.Certificate{Subject: pkix.Name{CommonName: filepath.Base(file)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, key: key}
	a.cert = a.issue(t, a.cert, &key.PublicKey)
	put(t, file, "CERTIFICATE", a.cert.Raw)
	return a
}

// sign writes a key and its certificate, which a has signed.
func (a *signer) sign(t testing.TB, c *x509.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, certFile, "CERTIFICATE", a.issue(t, c, &key.PublicKey).Raw)
	put(t, keyFile, "PRIVATE KEY", der)
}

func (a *signer) issue(t testing.TB, c *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	t.Helper()
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

func put(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
