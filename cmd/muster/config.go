package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
	"github.com/muster-cip/muster/outbound"
	"github.com/muster-cip/muster/strictyaml"
	"github.com/muster-cip/muster/watchlist"
)

// Config is one YAML file. Order of precedence, highest first: flags, the
// environment (MUSTER_LISTEN, MUSTER_DATABASE, ...), the file, the defaults.
// Secrets are never in it: it names the files that hold them.
type Config struct {
	Listen       string    `yaml:"listen"`        // host:port
	Mode         string    `yaml:"mode"`          // production | sandbox; fixed at first start
	Origin       string    `yaml:"origin"`        // of the log; fixed at first start
	Data         string    `yaml:"data"`          // directory: database, tiles
	Keys         string    `yaml:"keys"`          // directory: key store, root key; never beside the data in a backup
	RootKey      string    `yaml:"root_key"`      // file; "" is root.key in the keys directory; "credential:NAME" a systemd credential; "kms:transit", "kms:aws"
	Database     string    `yaml:"database"`      // file that holds the DSN of PostgreSQL; "" is SQLite in the data directory
	KeyDatabase  string    `yaml:"key_database"`  // file that holds the DSN of the key store's own database
	Envoy        string    `yaml:"envoy"`         // host:port where Envoy asks the gate by gRPC; "" nowhere
	PublicURL    string    `yaml:"public_url"`    // https URL under which callers reach this, for AuthZEN's discovery
	CustomerURL  string    `yaml:"customer_url"`  // where customers meet needs; {application} is replaced
	Provider     string    `yaml:"provider"`      // name of the provider, in messages to customers
	Domain       string    `yaml:"domain"`        // of the provider, in messages to customers
	SoloDelay    string    `yaml:"solo_delay"`    // what a solo operator waits where two are needed
	PublicLog    bool      `yaml:"public_log"`    // checkpoint, tiles and the log's public keys without a token
	LocalMetrics bool      `yaml:"local_metrics"` // /metrics without a token from this machine; not behind a proxy on it
	GateBound    string    `yaml:"gate_bound"`    // past this age of its knowledge a gate answers by the packs' fail tables; at least 10s
	Trace        string    `yaml:"trace"`         // OTLP/HTTP endpoint for traces; "" sends none
	KMS          KMSConfig `yaml:"kms,omitempty"`
	TLS          TLS       `yaml:"tls,omitempty"` //
	Mail         Mail      `yaml:"mail,omitempty"`
	SMS          SMS       `yaml:"sms,omitempty"`
	Out          Out       `yaml:"out,omitempty"`
	Lists        Lists     `yaml:"lists,omitempty"`

	Lease string `yaml:"lease,omitempty"` // how long a process has a duty before another may take it; "" is 60s

	Keeping Keeping      `yaml:"keeping,omitempty"`
	Ledger  LedgerConfig `yaml:"ledger,omitempty"`

	Storage StorageConfig `yaml:"storage,omitempty"`

	NATS NATS `yaml:"nats,omitempty"`

	Witnesses []WitnessConfig `yaml:"witnesses,omitempty"`
	SendOut   string          `yaml:"send_checkpoints,omitempty"` // where the daily checkpoint goes: a file outside the house (a mounted share), or an https URL
}

// TLS names certificate and key files; both are read again when they change.
type TLS struct {
	Certificate string `yaml:"certificate,omitempty"`
	Key         string `yaml:"key,omitempty"`
}

// Mail is the SMTP server for one-time codes.
type Mail struct {
	Server   string `yaml:"server,omitempty"` // host:port
	From     string `yaml:"from,omitempty"`
	User     string `yaml:"user,omitempty"`
	Password string `yaml:"password_file,omitempty"`
	TLS      string `yaml:"tls,omitempty"` // starttls (default) | implicit | none, to this machine only
}

// SMS is the provider's gateway for one-time codes by telephone: a signed webhook.
type SMS struct {
	URL    string `yaml:"url,omitempty"`
	Secret string `yaml:"secret_file,omitempty"`
}

// NATS is where the gate's changes are published too, for many edges, and where records
// for the ledger come from.
type NATS struct {
	URL         string `yaml:"url,omitempty"`              // nats://host:port, several with commas, or tls://...; "" uses none
	Credentials string `yaml:"credentials_file,omitempty"` // of NATS
	Prefix      string `yaml:"gate_prefix,omitempty"`      // of the subject; the deployment's id follows it. "" publishes nothing
	Access      string `yaml:"access_subject,omitempty"`   // batches of access records; "" takes none
	Leases      string `yaml:"leases_subject,omitempty"`   // batches of leases
	Stream      string `yaml:"stream,omitempty"`           // of JetStream; "" is the one that holds the subject
	Durable     string `yaml:"durable,omitempty"`          // name of the consumers; "-access" and "-leases" follow it
}

func (c *NATS) check() (wrong []string) {
	if (c.Access != "" || c.Leases != "") && c.URL == "" {
		wrong = append(wrong, "nats.access_subject and nats.leases_subject need nats.url")
	}
	if c.Access != "" && c.Access == c.Leases {
		wrong = append(wrong, "nats.access_subject and nats.leases_subject are two")
	}
	for _, s := range []string{c.Access, c.Leases, c.Stream} {
		if strings.ContainsAny(s, " \t\r\n") {
			wrong = append(wrong, "subjects and stream of nats have no spaces")
		}
	}
	if (c.Access != "" || c.Leases != "") && !muster.IsReference(c.Durable) || strings.Contains(c.Durable, ".") {
		wrong = append(wrong, "nats.durable is a name of letters, digits, dashes and underscores")
	}
	return wrong
}

// Out bounds where Muster itself connects to.
type Out struct {
	Allow []string `yaml:"allow,omitempty"` // host:port of private addresses that may be reached
}

// Keeping is how long records are kept where packs leave it to the provider.
type Keeping struct {
	Zone  string  `yaml:"zone,omitempty"`        // of legal periods, IANA name
	Delay string  `yaml:"delay,omitempty"`       // in which an approved early erasure can be taken back
	Epoch string  `yaml:"epoch,omitempty"`       // how old an epoch of keys becomes before it turns by itself; "0" never
	Share float64 `yaml:"daily_share,omitempty"` // per cent of all files: more than this on one day waits for two operators
}

// Lists says where watch lists are fetched from, and how far they are trusted.
type Lists struct {
	MaxAge    string           `yaml:"max_age,omitempty"`    // of what is in effect, before it counts as stale (default 72h)
	MaxShrink int              `yaml:"max_shrink,omitempty"` // per cent that a list may lose at once (default 10)
	MaxBroken int              `yaml:"max_broken,omitempty"` // per cent of rows that may be broken (default 1)
	Skip      []string         `yaml:"skip,omitempty"`       // ids of lists that are not taken: csl.sdn, ...
	Sources   []ListSourceConf `yaml:"sources,omitempty"`
}

// ListSourceConf is one place that lists are fetched from.
type ListSourceConf struct {
	Name       string   `yaml:"name"`
	URLs       []string `yaml:"urls"`                  // the files of one set
	Every      string   `yaml:"every,omitempty"`       // default 6h
	MaxAge     string   `yaml:"max_age,omitempty"`     // default that of lists
	MinEntries int      `yaml:"min_entries,omitempty"` // of each of its lists; fewer are refused
}

// rules are the bounds of watch lists as the room takes them.
func (l Lists) rules() (r watchlist.Rules, err error) {
	duration := func(name, s string) (d time.Duration) {
		if s != "" && err == nil {
			if d, err = time.ParseDuration(s); err != nil {
				err = fmt.Errorf("lists: %s is a duration, such as 72h", name)
			}
		}
		return d
	}
	r = watchlist.Rules{MaxAge: duration("max_age", l.MaxAge), MaxShrink: l.MaxShrink, MaxBroken: l.MaxBroken, Skip: l.Skip}
	for _, s := range l.Sources {
		r.Sources = append(r.Sources, watchlist.Source{
			Name: s.Name, URLs: s.URLs, Every: duration("every", s.Every), MaxAge: duration("max_age", s.MaxAge), MinEntries: s.MinEntries,
		})
	}
	if err == nil {
		err = r.Check(nil)
	}
	return r, err
}

// WitnessConfig is a witness that cosigns checkpoints.
type WitnessConfig struct {
	URL string `yaml:"url"`
	Key string `yaml:"key"` // its verifier key
}

func defaults(dir string) Config {
	return Config{
		Listen: "127.0.0.1:8420", Mode: muster.ModeProduction, Data: filepath.Join(dir, "data"), Keys: filepath.Join(dir, "keys"),
		Provider: "Example Hosting", Domain: "example.com", SoloDelay: "24h", NATS: NATS{Prefix: "muster.gate", Durable: "muster"}, GateBound: "2m",
		Keeping: Keeping{Zone: "UTC", Delay: "72h", Epoch: "720h", Share: 2},
	}
}

// environment are the members that the environment may set, by variable.
func (c *Config) environment() map[string]*string {
	return map[string]*string{
		"MUSTER_LISTEN": &c.Listen, "MUSTER_DATA": &c.Data, "MUSTER_KEYS": &c.Keys, "MUSTER_ROOT_KEY": &c.RootKey,
		"MUSTER_DATABASE": &c.Database, "MUSTER_KEY_DATABASE": &c.KeyDatabase, "MUSTER_CUSTOMER_URL": &c.CustomerURL,
		"MUSTER_TRACE": &c.Trace,
	}
}

const maxConfig = 64 << 10

// readConfig reads the file, then the environment. Relative paths are relative to the file.
func readConfig(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, &muster.Error{Code: muster.CodeNotFound, Message: "no configuration at " + path, Hint: "muster init makes one"}
	}
	if err != nil {
		return Config{}, unread(path, err)
	}
	if len(b) > maxConfig {
		return Config{}, muster.Errorf(muster.CodeTooLarge, "%s is larger than a configuration may be", path)
	}
	c := defaults(".")
	if err := strictyaml.Decode(b, &c, "a configuration"); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	for name, at := range c.environment() {
		if v, ok := os.LookupEnv(name); ok {
			*at = v
		}
	}
	base := filepath.Dir(path)
	for _, p := range append([]*string{&c.Data, &c.Keys, &c.Database, &c.KeyDatabase, &c.TLS.Certificate, &c.TLS.Key, &c.Mail.Password, &c.SMS.Secret, &c.SendOut, &c.KMS.Transit.Token, &c.KMS.Transit.CA, &c.NATS.Credentials, &c.Storage.Directory, &c.Storage.S3.Credentials}, c.Ledger.paths()...) {
		if *p != "" && !filepath.IsAbs(*p) && !strings.HasPrefix(*p, "https://") {
			*p = filepath.Join(base, *p)
		}
	}
	c.placeRootKey(base)
	return c, c.check()
}

func (c *Config) check() error {
	var wrong []string
	if c.Mode != muster.ModeProduction && c.Mode != muster.ModeSandbox {
		wrong = append(wrong, "mode is production or sandbox")
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		wrong = append(wrong, "listen is host:port, such as 127.0.0.1:8420")
	}
	if c.Envoy != "" {
		if _, _, err := net.SplitHostPort(c.Envoy); err != nil {
			wrong = append(wrong, "envoy is host:port, such as 127.0.0.1:8422")
		}
	}
	if u, err := url.Parse(c.PublicURL); c.PublicURL != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "") {
		wrong = append(wrong, "public_url is an https URL without a query, such as https://muster.example.net")
	}
	if c.Origin == "" {
		wrong = append(wrong, "origin names the log, such as example.com/muster")
	}
	if c.Mode == muster.ModeSandbox && !strings.Contains(c.Origin, muster.ModeSandbox) {
		wrong = append(wrong, "the log of a sandbox says so: its origin contains the word sandbox")
	}
	if (c.Database == "") != (c.KeyDatabase == "") {
		wrong = append(wrong, "database and key_database go together")
	}
	if c.Database != "" && c.Database == c.KeyDatabase {
		wrong = append(wrong, "the key store has a database of its own")
	}
	if w := c.wrongRootKey(); w != "" {
		wrong = append(wrong, w)
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		wrong = append(wrong, "tls needs certificate and key")
	}
	if _, err := time.ParseDuration(c.SoloDelay); err != nil {
		wrong = append(wrong, "solo_delay is a duration, such as 24h")
	}
	if d, err := time.ParseDuration(c.GateBound); err != nil || d < 10*time.Second {
		wrong = append(wrong, "gate_bound is a duration of 10s or more, such as 2m")
	}
	if d, err := time.ParseDuration(cmp.Or(c.Lease, "60s")); err != nil || d < 10*time.Second || d > 10*time.Minute {
		wrong = append(wrong, "lease is a duration of 10s to 10m, such as 60s")
	}
	if _, err := time.LoadLocation(c.Keeping.Zone); err != nil {
		wrong = append(wrong, "keeping.zone is a name such as Europe/Oslo")
	}
	if d, err := time.ParseDuration(c.Keeping.Delay); err != nil || d < 0 {
		wrong = append(wrong, "keeping.delay is a duration, such as 72h")
	}
	if d, err := time.ParseDuration(c.Keeping.Epoch); err != nil || d < 0 {
		wrong = append(wrong, "keeping.epoch is a duration, such as 720h, or 0")
	}
	if c.Keeping.Share <= 0 || c.Keeping.Share > 100 {
		wrong = append(wrong, "keeping.daily_share is per cent of all files, more than 0")
	}
	if _, err := c.Lists.rules(); err != nil {
		wrong = append(wrong, err.Error())
	}
	if _, err := outbound.New(outbound.Config{Allow: c.Out.Allow}); err != nil {
		wrong = append(wrong, "out.allow: "+err.Error())
	}
	wrong = append(wrong, c.Ledger.check()...)
	wrong = append(wrong, c.NATS.check()...)
	wrong = append(wrong, c.Storage.check()...)
	if wrong != nil {
		return muster.Errorf(muster.CodeInvalid, "the configuration is wrong: %s", strings.Join(wrong, "; "))
	}
	return nil
}

// lease is how long a process has a duty; it was checked when it was read.
func (c *Config) lease() time.Duration {
	d, err := time.ParseDuration(c.Lease)
	if err != nil { // or ""
		return time.Minute
	}
	return d
}

// unread is why a file that somebody named cannot be read: invalid where that somebody has
// to change something.
func unread(path string, err error) error {
	if !durable.Barred(err) {
		return err
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return muster.Errorf(muster.CodeInvalid, "%s cannot be read: %w", path, err)
}

// secretFile reads a secret from a file: one line, the newline cut.
func secretFile(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", unread(path, err)
	}
	if len(b) > 64<<10 {
		return "", muster.Errorf(muster.CodeTooLarge, "%s is larger than a secret may be", path)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
