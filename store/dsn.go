package store

import (
	"cmp"
	"crypto/tls"
	"errors"
	"io/fs"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/muster-cip/muster"
)

// Neither a DSN nor what its reader says of it is ever repeated: both may have the
// password in them.

func parseDSN(dsn string) (*pgxpool.Config, error) {
	conf, err := pgxpool.ParseConfig(dsn)
	var file *fs.PathError
	switch {
	case errors.As(err, &file):
		return nil, muster.Errorf(muster.CodeInvalid, "the DSN of PostgreSQL names %s, which cannot be read: %w", file.Path, file.Err)
	case err != nil:
		return nil, muster.Errorf(muster.CodeInvalid, "the DSN of PostgreSQL cannot be read")
	}
	severalServers(conf.ConnConfig)
	if len(otherServers(&conf.ConnConfig.Config)) > 0 && conf.PingTimeout == 0 {
		conf.PingTimeout = conf.ConnConfig.ConnectTimeout // of a connection that was not used for a while
	}
	return conf, nil
}

// ToolsDSN is a DSN as PostgreSQL's own tools take it, so that they reach what Muster
// reaches and believe no server that it does not: target is for --dbname, and env are
// variables to add, the password among them, which has no place in a command's arguments.
// What no tool can be told is an error that names it. A tool that is older than a setting
// says so itself of a connection string; a variable it would pass over, and go on.
func ToolsDSN(dsn string) (target string, env []string, err error) {
	conf, err := parseDSN(dsn)
	if err != nil {
		return "", nil, err
	}
	c := &conf.ConnConfig.Config
	say := keywords{}
	say.servers(c)
	if err := say.encryption(c); err != nil {
		return "", nil, err
	}
	say.session(c)
	if c.Password != "" {
		env = append(env, "PGPASSWORD="+c.Password)
	}
	for key, value := range written(dsn) {
		_, sent := c.RuntimeParams[key]
		switch {
		case key == "servicefile":
			env = append(env, "PGSERVICEFILE="+value)
		case slices.Contains([]string{"service", "target_session_attrs", "sslrootcert", "sslcert", "sslkey", "sslsni"}, key):
			say[key] = value
		case !sent && !slices.Contains(readElsewhere, key) && !strings.HasPrefix(key, "pool_"):
			return "", nil, muster.Errorf(muster.CodeInvalid, "%s in the DSN is nothing that PostgreSQL's own tools can be told", key)
		}
	}
	return say.String(), env, nil
}

// readElsewhere are settings of a DSN of which the driver's configuration says what came
// of them, and those of the driver alone. Without them, and what goes on as it was
// written, a setting is refused: a driver may learn more.
var readElsewhere = []string{
	"host", "port", "user", "password", "passfile", "dbname", "database", "connect_timeout", "krbsrvname",
	"ssl", "sslmode", "sslnegotiation", "sslcertmode", "channel_binding", "require_auth", "min_protocol_version", "max_protocol_version",
	"default_query_exec_mode", "statement_cache_capacity", "description_cache_capacity",
}

// keywords are a connection string's, with their values.
type keywords map[string]string

// String is the text of libpq's documentation, 34.1.1.1.
func (k keywords) String() string {
	var words []string
	for _, key := range slices.Sorted(maps.Keys(k)) {
		words = append(words, key+"='"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(k[key])+"'")
	}
	return strings.Join(words, " ")
}

// set says what is not the default anyway: an older tool need not know it.
func (k keywords) set(key, value, usual string) {
	if value != usual {
		k[key] = value
	}
}

func (k keywords) servers(c *pgconn.Config) {
	hosts, ports := []string{c.Host}, []string{strconv.Itoa(int(c.Port))}
	for _, f := range otherServers(c) {
		hosts, ports = append(hosts, f.Host), append(ports, strconv.Itoa(int(f.Port)))
	}
	k["host"], k["port"], k["user"], k["dbname"] = strings.Join(hosts, ","), strings.Join(ports, ","), c.User, c.Database
	k.set("connect_timeout", strconv.Itoa(int(c.ConnectTimeout.Seconds())), "0")
	k.set("krbsrvname", c.KerberosSrvName, "")
}

// encryption says how a server proves who it is. What the driver does about it is said,
// and not what was written: other settings change what sslmode means.
func (k keywords) encryption(c *pgconn.Config) error {
	var ways []*tls.Config // one after the other, of all servers that are not on this machine; nil is none
	for _, f := range append([]*pgconn.FallbackConfig{{Host: c.Host, Port: c.Port, TLSConfig: c.TLSConfig}}, c.Fallbacks...) {
		if network, _ := pgconn.NetworkAddress(f.Host, f.Port); network != "unix" {
			ways = append(ways, f.TLSConfig)
		}
	}
	i := slices.IndexFunc(ways, func(way *tls.Config) bool { return way != nil })
	switch open := slices.Contains(ways, nil); {
	case len(ways) == 0:
		return nil
	case i < 0:
		k["sslmode"] = "disable"
	case i > 0:
		k["sslmode"] = "allow"
	case open:
		k["sslmode"] = "prefer"
	case !ways[i].InsecureSkipVerify:
		k["sslmode"] = "verify-full"
	case ways[i].VerifyPeerCertificate != nil:
		k["sslmode"] = "verify-ca"
	default:
		k["sslmode"] = "require"
	}
	if strings.HasPrefix(k["sslmode"], "verify") && ways[i].RootCAs == nil {
		return &muster.Error{
			Code: muster.CodeInvalid, Message: "sslmode=" + k["sslmode"] + " is without sslrootcert in the DSN: PostgreSQL's own tools do not take the machine's authorities by themselves",
			Hint: "name their file, such as sslrootcert=/etc/ssl/certs/ca-certificates.crt",
		}
	}
	k.set("sslnegotiation", cmp.Or(c.SSLNegotiation, "postgres"), "postgres")
	k.set("sslcertmode", c.SSLCertMode, "allow")
	return nil
}

// session says how Muster proves who it is, and what holds for the session.
func (k keywords) session(c *pgconn.Config) {
	k.set("channel_binding", c.ChannelBinding, "prefer")
	k.set("require_auth", c.RequireAuth, "")
	k.set("min_protocol_version", c.MinProtocolVersion, "3.0")
	k.set("max_protocol_version", c.MaxProtocolVersion, "3.0")
	k.set("application_name", c.RuntimeParams["application_name"], "")
	options := c.RuntimeParams["options"]
	for _, key := range slices.Sorted(maps.Keys(c.RuntimeParams)) {
		if key != "application_name" && key != "options" {
			options += " -c " + strings.NewReplacer(`\`, `\\`, " ", `\ `).Replace(key+"="+c.RuntimeParams[key])
		}
	}
	k.set("options", options, "")
}

var (
	keyword = regexp.MustCompile(`(?s)([^\s=]+)\s*=\s*(?:'((?:\\.|[^'\\])*)'|((?:\\.|[^\s\\])*))`)
	escaped = regexp.MustCompile(`(?s)\\(.)`)
)

// written are the settings that a DSN has, which the driver could read: of a URL those
// after the question mark. The driver does not keep what it knows of files.
func written(dsn string) map[string]string {
	all := map[string]string{}
	scheme, text, _ := strings.Cut(dsn, "://")
	if scheme != "postgres" && scheme != "postgresql" {
		for _, m := range keyword.FindAllStringSubmatch(dsn, -1) {
			all[m[1]] = escaped.ReplaceAllString(m[2]+m[3], "$1")
		}
		return all
	}
	if i := strings.IndexAny(text, "@/"); i >= 0 && text[i] == '@' { // before it a question mark is the password's
		text = text[i+1:]
	}
	_, text, _ = strings.Cut(text, "?")
	for pair := range strings.SplitSeq(text, "&") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			all[decoded(key)] = decoded(value)
		}
	}
	return all
}

func decoded(s string) string {
	s, _ = url.PathUnescape(strings.Trim(s, " ")) // the driver could
	return s
}
