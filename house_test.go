package muster_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/modfile"
)

// The rules of the house that a program can hold: the direction of every import,
// what is not imported or called and why, the list of dependencies, what no file
// says. Each ban states its reason; a ban whose object is gone fails, so that
// the list stays true.

const module = "github.com/muster-cip/muster"

// testSupport is the rank of packages that only tests import.
const testSupport = -1

// ranks is the map of the house. A room imports rooms of a lower rank only, never
// its own rank or above. A pattern that ends in * covers one folder per thing.
var ranks = map[int]string{
	0: "compact match durable outbound packs lists strictyaml", // and the root
	1: "policy screen lists/* measure verify/* gate vault tlog validate synthetic backup book objects",
	2: "journal ledger ask",
	3: "edge onboard review watch watchlist register retain export rotate programme staff oversight share",
	4: "api console portal store",
	5: "cmd/* bench bench/* validate/gen", // programs; gen reads published tables and writes validate/tables

	testSupport: "internal/* endtoend vault/vaulttest",
}

func rankOf(room string) (int, bool) {
	if room == "" {
		return 0, true
	}
	for rank, rooms := range ranks {
		for pattern := range strings.FieldsSeq(rooms) {
			if ok, _ := filepath.Match(pattern, room); ok {
				return rank, true
			}
		}
	}
	return 0, false
}

// pure rooms decide from what they are given.
var pure = []string{"", "match", "policy", "screen", "measure", "validate", "synthetic", "book"}

// ban is an import, or a call, that has one place or none.
type ban struct {
	what    string   // import path, which covers what is below it, or package.Name
	only    []string // rooms that may, and do
	because string
	instead string // import path that does the work, and is used
}

var bans = []ban{
	{"github.com/google/cel-go", nil, "it moved: the old path does not build", "cel.dev/cel-go/cel"},
	{"github.com/tink-crypto/tink-go/v2/daead", nil, "equal values give equal ciphertexts: a reversible copy of everything under one key", "crypto/hmac"},
	{"github.com/mattn/go-sqlite3", nil, "it needs C; Muster is one static binary", "modernc.org/sqlite"},
	{"github.com/transparency-dev/tessera", nil, "it orders leaves itself, in files: a leaf has to be ordered in the transaction that decides", "golang.org/x/mod/sumdb/tlog"},
	{"encoding/json/v2", nil, "it is an experiment of the toolchain", "encoding/json"},
	{"log", nil, "logs are structured, so that a test can search their every value", "log/slog"},
	{"C", nil, "Muster is one static binary", "modernc.org/sqlite"},
	{"database/sql", []string{"store", "bench"}, "SQL is written in one room; the bench's baseline inserts by itself", ""},
	{"github.com/jackc/pgx/v5", []string{"store", "bench"}, "as database/sql", ""},
	{"modernc.org/sqlite", []string{"store", "bench"}, "as database/sql", ""},
	{"math/rand", nil, "its first version is seeded for the whole process", "math/rand/v2"},
	{"math/rand/v2", []string{"synthetic", "watch", "edge", "bench"}, "what can be guessed must not be a secret: keys, codes and salts come from crypto/rand; watch and edge spread their retries, bench makes the same year again", "crypto/rand"},
	{"http.DefaultClient", nil, "it follows redirects into private networks and waits for ever", module + "/outbound"},
	{"http.DefaultTransport", []string{"cmd/muster"}, "as http.DefaultClient; the command line copies it for Muster's own API", ""},
	{"http.Get", nil, "as http.DefaultClient", module + "/outbound"},
	{"http.Head", nil, "as http.DefaultClient", module + "/outbound"},
	{"http.Post", nil, "as http.DefaultClient", module + "/outbound"},
	{"http.PostForm", nil, "as http.DefaultClient", module + "/outbound"},
	{"http.Client{}", []string{"outbound", "cmd/muster", "bench"}, "all that leaves the house goes through outbound; the command line and the bench talk to Muster's own API", ""},
}

// source is one Go file of the module.
type source struct {
	path string // slashes, below the root
	room string // folder, "" for the root
	test bool
	file *ast.File
}

func (s source) imports() []string {
	out := make([]string, len(s.file.Imports))
	for i, x := range s.file.Imports {
		out[i], _ = strconv.Unquote(x.Path.Value)
	}
	return out
}

type house struct {
	files   *token.FileSet
	sources []source
}

// parsed reads every Go file once for all tests.
var parsed = sync.OnceValues(parseHouse)

func setupHouse(t *testing.T) *house {
	t.Helper()
	h, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(h.sources) < 20 {
		t.Fatalf("only %d Go files: this is not the root of the repository", len(h.sources))
	}
	return h
}

func parseHouse() (*house, error) {
	h := &house{files: token.NewFileSet()}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != "." && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || path == "tools" || path == "release" || path == "docs") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parser.ParseFile(h.files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		path = filepath.ToSlash(path)
		room, _, _ := cutLast(path, "/")
		h.sources = append(h.sources, source{path: path, room: room, test: strings.HasSuffix(name, "_test.go"), file: f})
		return nil
	})
	return h, err
}

// cutLast is strings.Cut at the last sep; without one, all is after.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

func TestArrowsPointDown(t *testing.T) {
	t.Parallel()
	for _, s := range setupHouse(t).sources {
		rank, ok := rankOf(s.room)
		if !ok {
			t.Errorf("%s: the room %q is not on the map (design: one folder, one capability)", s.path, s.room)
			continue
		}
		if s.test {
			continue // tests use the real store
		}
		for _, path := range s.imports() {
			room, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			room = strings.TrimPrefix(room, "/")
			if room == "" && s.room != "" {
				continue // the dictionary: every room may read it
			}
			to, ok := rankOf(room)
			switch {
			case !ok:
				t.Errorf("%s imports %q, which is not on the map", s.path, room)
			case rank == testSupport: // may import what tests may
			case to == testSupport:
				t.Errorf("%s imports %q, which is for tests", s.path, room)
			case to == rank:
				t.Errorf("%s imports %q, an arrow sideways (rank %d): rooms of one rank are joined by whoever calls them, with an interface of the caller", s.path, room, rank)
			case to > rank:
				t.Errorf("%s (rank %d) imports %q (rank %d), an arrow up: declare the interface where it is called", s.path, rank, room, to)
			}
		}
	}
}

func TestPureRoomsReachNothing(t *testing.T) {
	t.Parallel()
	for _, s := range setupHouse(t).sources {
		if s.test || !slices.Contains(pure, s.room) || s.path == "clock.go" || s.path == "id.go" {
			continue // clock.go is the one clock, id.go draws ids
		}
		for _, path := range s.imports() {
			switch path {
			case "os", "io/fs", "os/exec", "net", "net/http", "log", "log/slog", "database/sql", "crypto/rand", "syscall":
				t.Errorf("%s imports %s: this room is pure, and decides the same years later", s.path, path)
			}
		}
		for _, use := range s.uses() {
			if use.name == "time.Now" || use.name == "time.Since" {
				t.Errorf("%s reads the clock: this room takes the time that it is given", s.path)
			}
		}
	}
}

type use struct {
	name string
	at   token.Pos
}

// uses are the names of imported packages that the file mentions: http.Get, and
// http.Client{} where it makes one.
func (s source) uses() []use {
	local := map[string]string{}
	for i, path := range s.imports() {
		_, base, _ := cutLast(path, "/")
		if n := s.file.Imports[i].Name; n != nil {
			local[n.Name] = base
		} else {
			local[base] = base
		}
	}
	selected := func(n ast.Expr) string {
		if x, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := x.X.(*ast.Ident); ok && local[id.Name] != "" {
				return local[id.Name] + "." + x.Sel.Name
			}
		}
		return ""
	}
	var out []use
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.CompositeLit:
			if name := selected(x.Type); name != "" {
				out = append(out, use{name + "{}", x.Pos()})
			}
		case *ast.SelectorExpr:
			if name := selected(x); name != "" {
				out = append(out, use{name, x.Pos()})
			}
		}
		return true
	})
	return out
}

func TestBans(t *testing.T) {
	t.Parallel()
	h := setupHouse(t)
	imported := map[string]bool{}
	used := map[string]bool{} // room + " " + ban
	for _, s := range h.sources {
		if s.test || strings.HasPrefix(s.room, "internal/") {
			continue
		}
		names := map[string]bool{}
		for _, path := range s.imports() {
			imported[path] = true
		}
		for _, u := range s.uses() {
			names[u.name] = true
		}
		for _, b := range bans {
			hit := names[b.what]
			for _, path := range s.imports() {
				below := strings.HasPrefix(path, b.what+"/") && !slices.ContainsFunc(bans, func(o ban) bool { return o.what == path })
				hit = hit || path == b.what || below && strings.Contains(b.what, ".")
			}
			if !hit {
				continue
			}
			used[s.room+" "+b.what] = true
			if !slices.Contains(b.only, s.room) {
				t.Errorf("%s: %s: %s (instead: %s)", s.path, b.what, b.because, strings.Join(append([]string{b.instead}, b.only...), " "))
			}
		}
	}
	for _, b := range bans {
		if b.instead != "" && !imported[b.instead] {
			t.Errorf("the ban of %s names %s instead, which nothing imports: is the ban of something gone?", b.what, b.instead)
		}
		for _, room := range b.only {
			if !used[room+" "+b.what] {
				t.Errorf("the ban of %s lets %s, which no longer uses it", b.what, room)
			}
		}
	}
}

func TestNoWorkInInit(t *testing.T) {
	t.Parallel()
	for _, s := range setupHouse(t).sources {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init: constructors do the work, main calls them", s.path)
			}
		}
	}
}

// dependencies is what go.mod requires directly. A new one is a decision: it has
// a row in docs/dependencies.md that says why it and not another, and its licence.
var dependencies = []string{
	"cel.dev/cel-go",
	"filippo.io/age",
	"github.com/aws/aws-sdk-go-v2",
	"github.com/aws/aws-sdk-go-v2/config",
	"github.com/aws/aws-sdk-go-v2/service/kms",
	"github.com/aws/smithy-go",
	"github.com/danielgtaylor/huma/v2",
	"github.com/envoyproxy/go-control-plane/envoy",
	"github.com/go-json-experiment/json",
	"github.com/goccy/go-yaml",
	"github.com/google/go-cmp",
	"github.com/jackc/pgx/v5",
	"github.com/johannesboyne/gofakes3",
	"github.com/klauspost/compress",
	"github.com/minio/minio-go/v7",
	"github.com/nats-io/nats-server/v2",
	"github.com/nats-io/nats.go",
	"github.com/nyaruka/phonenumbers",
	"github.com/oschwald/maxminddb-golang/v2",
	"github.com/pressly/goose/v3",
	"github.com/prometheus/client_golang",
	"github.com/rogpeppe/go-internal",
	"github.com/spf13/cobra",
	"github.com/xrash/smetrics",
	"github.com/yuin/goldmark",
	"go.opentelemetry.io/otel",
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp",
	"go.opentelemetry.io/otel/sdk",
	"go.opentelemetry.io/otel/trace",
	"go.opentelemetry.io/proto/otlp",
	"golang.org/x/crypto",
	"golang.org/x/mod",
	"golang.org/x/net",
	"golang.org/x/sync",
	"golang.org/x/text",
	"google.golang.org/genproto/googleapis/rpc",
	"google.golang.org/grpc",
	"google.golang.org/protobuf",
	"modernc.org/sqlite",
	"pgregory.net/rapid",
}

func TestDependenciesAreChosen(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	var direct []string
	for _, r := range mod.Require {
		if !r.Indirect {
			direct = append(direct, r.Mod.Path)
		}
	}
	page, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|(.*)\\|(.*)\\|$").FindAllStringSubmatch(string(page), -1) {
		rows[m[1]] = true
		if len(strings.TrimSpace(m[2])) == 0 || len(strings.TrimSpace(m[3])) < 20 {
			t.Errorf("docs/dependencies.md: %s has no licence or no reason", m[1])
		}
	}
	for _, d := range direct {
		if !slices.Contains(dependencies, d) {
			t.Errorf("go.mod requires %s, which is not on the list: decide, and write why", d)
		}
		if !rows[d] {
			t.Errorf("docs/dependencies.md has no row for %s", d)
		}
		delete(rows, d)
	}
	for _, d := range dependencies {
		if !slices.Contains(direct, d) {
			t.Errorf("%s is on the list and no longer in go.mod", d)
		}
	}
	for d := range rows {
		t.Errorf("docs/dependencies.md has a row for %s, which go.mod does not require", d)
	}
}

// TestTheRuleIsDataAlone: what a regime says stands in its pack. Go that names a
// section, a threshold of ownership or how long something is kept would decide
// for the pack.
func TestTheRuleIsDataAlone(t *testing.T) {
	t.Parallel()
	h := setupHouse(t)
	checked := 0
	excused := map[string]bool{}
	for _, s := range h.sources {
		if s.test || s.room == "packs" {
			continue
		}
		checked++
		for _, why := range h.lawIn(s) {
			if _, ok := ownPeriods[s.path]; ok && strings.Contains(why, "a long period") {
				excused[s.path] = true
				continue
			}
			t.Error(why)
		}
	}
	for path := range ownPeriods {
		if !excused[path] {
			t.Errorf("%s is excused for a long period and states none", path)
		}
	}
	if checked < 20 {
		t.Fatalf("only %d files were looked at", checked)
	}
	// The search finds what it looks for.
	for _, text := range []string{
		"// See 7.302(d).\nvar a = 1", "var a = \"15 CFR 7.306\"",
		"const ownerThreshold = 25", "var share = 0.25", "func f(share int) bool { return share >= 25_000_000 }", "// An owner of 25 % or more.\nvar a = 1",
		"var keep = \"2 years\"", "var t = now.AddDate(2, 0, 0)", "const keepFor = 730 * 24 * time.Hour", "const retentionDays = 180",
	} {
		f, err := parser.ParseFile(h.files, "case.go", "package p\n"+text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if len(h.lawIn(source{path: "case.go", file: f})) == 0 {
			t.Errorf("nothing was found in %q", text)
		}
	}
}

// ownPeriods are files whose long period is about Muster's own things.
var ownPeriods = map[string]string{
	"staff/staff.go": "how long a token may live: no record is kept or deleted by it",
}

var (
	sectionOfTheRule  = regexp.MustCompile(`\b7\.3\d\d\b`)
	quarterInWords    = regexp.MustCompile(`(?i)\b25(\.0+)? ?(%|per ?cent)`)
	quarter           = []string{"25", "25.0", "0.25", ".25", "25_000_000", "25000000", "25e6"}
	aboutOwnership    = regexp.MustCompile(`(?i)owner|share|threshold|percent|stake|beneficial`)
	aboutKeeping      = regexp.MustCompile(`(?i)retention|retain|keepfor|keepdays|keepyears`)
	periodInWords     = regexp.MustCompile(`(?i)\b(\d+|one|two|three|five|six|seven|ten) (years?|months?)\b`)
	longestOfMachines = 90 // days: leases, rotations and back-off of ours are shorter than what any law has kept
)

// lawIn lists what of a regime one file names.
func (h *house) lawIn(s source) (found []string) {
	say := func(at token.Pos, what string) {
		found = append(found, fmt.Sprintf("%s: %s: it belongs in a pack", h.files.Position(at), what))
	}
	words := func(at token.Pos, text string, literal bool) {
		if sectionOfTheRule.MatchString(text) {
			say(at, "names a section of the rule")
		}
		if quarterInWords.MatchString(text) {
			say(at, "names the threshold of ownership")
		}
		if literal && periodInWords.MatchString(text) {
			say(at, "names a period")
		}
	}
	for _, g := range s.file.Comments {
		words(g.Pos(), g.Text(), false)
	}
	about := func(n ast.Node, what *regexp.Regexp) (yes bool) {
		ast.Inspect(n, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			yes = yes || ok && what.MatchString(id.Name)
			return !yes
		})
		return yes
	}
	number := func(n ast.Node, values ...string) (yes bool) {
		ast.Inspect(n, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			yes = yes || ok && lit.Kind != token.STRING && (len(values) == 0 && lit.Value != "0" || slices.Contains(values, lit.Value))
			return !yes
		})
		return yes
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				words(n.Pos(), n.Value, true)
			}
		case *ast.BinaryExpr:
			if number(n, quarter...) && about(n, aboutOwnership) {
				say(n.Pos(), "compares with the threshold of ownership")
			}
			if n.Op == token.MUL && mentionsHour(n) && hours(n) > longestOfMachines*24 {
				say(n.Pos(), "states a long period")
			}
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if i >= len(n.Values) {
					continue
				}
				if aboutOwnership.MatchString(name.Name) && number(n.Values[i], quarter...) {
					say(n.Pos(), "states the threshold of ownership")
				}
				if aboutKeeping.MatchString(name.Name) && number(n.Values[i]) {
					say(n.Pos(), "states how long something is kept")
				}
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "AddDate" && len(n.Args) == 3 {
				if _, literal := n.Args[0].(*ast.BasicLit); literal && number(n.Args[0]) {
					say(n.Pos(), "adds years")
				}
				if _, literal := n.Args[1].(*ast.BasicLit); literal && number(n.Args[1]) {
					say(n.Pos(), "adds months")
				}
			}
		}
		return true
	})
	return found
}

// mentionsHour reports a product with time.Hour in it.
func mentionsHour(n ast.Node) (yes bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if x, ok := n.(*ast.SelectorExpr); ok && x.Sel.Name == "Hour" {
			id, isName := x.X.(*ast.Ident)
			yes = yes || isName && id.Name == "time"
		}
		return !yes
	})
	return yes
}

// hours multiplies the whole numbers of a product.
func hours(n ast.Expr) int {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if n.Op == token.MUL {
			return hours(n.X) * hours(n.Y)
		}
	case *ast.ParenExpr:
		return hours(n.X)
	case *ast.BasicLit:
		if v, err := strconv.Atoi(strings.ReplaceAll(n.Value, "_", "")); err == nil {
			return v
		}
	}
	return 1
}

// elsewhere are words that say on which machine a file was written, or how. Each
// is put together so that this file does not contain it.
var elsewhere = regexp.MustCompile(`(?i)` + strings.Join([]string{
	`(^|[^a-z0-9.])/(wo` + `rk|ro` + `ot|ho` + `me)/[a-z]`,
	`proxy\.gol` + `ang\.org`, `sum\.gol` + `ang\.org`, `GOPR` + `OXY`, `GONOS` + `UMDB`, `GONOS` + `UMCHECK`,
	`registry\.np` + `mjs\.org`, `pyp` + `i\.org`, `deb\.deb` + `ian\.org`,
	`co-auth` + `ored-by`, `lang` + `uage model`, `generated (by|with) an? (ass` + `istant|ai)\b`, `\bsub-?ag` + `ents?\b`,
}, "|"))

func TestFilesSayNothingOfWhereTheyWereMade(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"see /wo" + "rk/notes", "https://proxy.gol" + "ang.org", "Co-auth" + "ored-by: x"} {
		if !elsewhere.MatchString(line) {
			t.Errorf("the search does not find %q", line)
		}
	}
	for _, path := range tracked(t) {
		if filepath.Base(path) == "go.sum" {
			continue // names of others' modules
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // listed, and deleted since
		}
		if at := elsewhere.FindIndex(raw); at != nil {
			t.Errorf("%s:%d mentions %q", path, 1+strings.Count(string(raw[:at[0]]), "\n"), raw[at[0]:at[1]])
		}
	}
}

// tracked is what git holds; without git, every file.
func tracked(t *testing.T) (paths []string) {
	t.Helper()
	if out, err := exec.Command("git", "ls-files", "-z").Output(); err == nil {
		if paths = strings.Split(strings.Trim(string(out), "\x00"), "\x00"); len(paths) > 20 {
			return paths
		}
	}
	paths = nil
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == ".git" {
			return filepath.SkipDir
		}
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
