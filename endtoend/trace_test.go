package endtoend

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// The analysis of a trace by strace -f -y: an order of events in which whatever
// one thread waited for stands before what it did then.

// traced are the system calls of which files are written, synced and replies sent.
const traced = "trace=write,pwrite64,writev,pwritev,sendto,sendmsg,fsync,fdatasync,sync_file_range,io_uring_enter"

// event is one end of a system call.
type event struct {
	thread string
	call   string // write, pwrite64, fsync, ...
	file   string // path, or what strace says of a socket
	data   string // what was written, as strace shows it
	begin  bool
	result string // at the end: "0", "512", "-1 EIO (Input/output error)"
	line   int
}

// endTrace ends a trace whose tracer was gone in the middle of a line: it had seen the
// call begin, and no more.
func endTrace(text string) string {
	if text == "" || strings.HasSuffix(text, "\n") {
		return text
	}
	return text + " <detached ...>\n"
}

// readTrace reads what strace wrote. A call that nothing interrupted is two events
// one after the other. Traces are long: they are read by hand, not by expressions.
func readTrace(text string) (events []event) {
	open := map[string]event{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		thread, rest, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		rest = strings.TrimLeft(rest, " ")
		if resumed, ok := strings.CutPrefix(rest, "<... "); ok {
			_, result, ok := cutResult(resumed)
			if e, begun := open[thread]; ok && begun {
				e.begin, e.result, e.line = false, result, n
				delete(open, thread)
				events = append(events, e)
			}
			continue
		}
		call, args, ok := strings.Cut(rest, "(")
		number, args, is := strings.Cut(args, "<")
		if _, err := strconv.Atoi(number); !ok || !is || err != nil {
			continue // not of a file
		}
		file, data, _ := strings.Cut(args, ">")
		e := event{thread: thread, call: call, file: file, begin: true, line: n}
		begun, ok := strings.CutSuffix(data, "<unfinished ...>")
		if !ok {
			begun, ok = strings.CutSuffix(data, "<detached ...>") // the last reply, of which the tracer did not see the end
		}
		if ok {
			e.data = strings.TrimRight(begun, " ")
			events, open[thread] = append(events, e), e
		} else if data, result, ok := cutResult(data); ok {
			e.data = data
			events = append(events, e)
			e.begin, e.result = false, result
			events = append(events, e)
		}
	}
	return events
}

// cutResult cuts "...) = 0" at its last bracket that a result follows.
func cutResult(s string) (before, result string, ok bool) {
	for end := len(s); end > 0; {
		i := strings.LastIndex(s[:end], " = ")
		if i < 0 {
			return "", "", false
		}
		if before, ok := strings.CutSuffix(strings.TrimRight(s[:i], " "), ")"); ok {
			return before, s[i+3:], true
		}
		end = i
	}
	return "", "", false
}

// isSync reports whether a line of a trace is a sync's, or the rest of one.
func isSync(line string) bool {
	_, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimPrefix(strings.TrimLeft(rest, " "), "<... ")
	return strings.HasPrefix(rest, "fsync") || strings.HasPrefix(rest, "fdatasync")
}

func (e *event) writes() bool { return strings.Contains(e.call, "write") }
func (e *event) sends() bool  { return e.writes() || strings.HasPrefix(e.call, "send") }
func (e *event) syncs() bool  { return e.call == "fsync" || e.call == "fdatasync" }
func (e *event) failed() bool { return strings.HasPrefix(e.result, "-") }

// proof is what was found on the replies of a trace.
type proof struct {
	replies int      // acknowledgements that were seen
	faults  []string // of those: not preceded by a write and then a sync of it
}

// checkSyncs holds every acknowledgement against the rule: between the commit of the
// transaction that wrote the application and the first byte of the reply lies a sync
// of the log file, begun after the commit was written, that succeeded.
//
// isLog tells the database's log by its path. commit tells whether a write to it ends
// a transaction; where it is nil, a write stands for its transaction. references
// are those that were acknowledged.
func checkSyncs(events []event, references []string, isLog func(path string) bool, commit func(e *event) bool) (p proof) {
	type state struct {
		written   bool            // the application is in the file
		committed bool            // and so is the end of its transaction
		syncing   map[string]bool // threads whose sync began since
		synced    bool
		replied   bool
	}
	at := map[string]*state{}
	for _, r := range references {
		at[r] = &state{syncing: map[string]bool{}}
	}
	open := map[string]bool{} // references that are written and not replied to
	for i := range events {
		e := &events[i]
		switch {
		case isLog(e.file) && e.writes() && !e.begin && !e.failed():
			for _, r := range named.FindAllString(e.data, -1) {
				if s := at[r]; s != nil && !s.written {
					s.written, open[r] = true, true
				}
			}
			if commit == nil || commit(e) {
				for r := range open {
					at[r].committed = true
				}
			}
		case isLog(e.file) && e.syncs() && e.begin:
			for r := range open {
				if at[r].committed {
					at[r].syncing[e.file+" "+e.thread] = true
				}
			}
		case isLog(e.file) && e.syncs() && !e.failed():
			for r := range open {
				if at[r].syncing[e.file+" "+e.thread] {
					at[r].synced = true
				}
			}
		case e.begin && e.sends() && strings.Contains(e.data, `"HTTP/1.1 201`):
			m := replied.FindStringSubmatch(e.data)
			if m == nil || at[m[1]] == nil || at[m[1]].replied {
				continue
			}
			s := at[m[1]]
			s.replied = true
			p.replies++
			delete(open, m[1])
			if !s.synced {
				p.faults = append(p.faults, fmt.Sprintf("line %d: %s was acknowledged (written %v, committed %v) without a sync", e.line, m[1], s.written, s.committed))
			}
		}
	}
	return p
}

// named finds references of the synthetic population.
var named = regexp.MustCompile(`syn-[a-z]{6}-\d{7}`)

// replied finds the reference in an acknowledgement.
var replied = regexp.MustCompile(`\\"reference\\":\\"([A-Za-z0-9._-]+)\\"`)

// sqliteCommit tells the header of a frame that ends a transaction: the file format's
// fourth to eighth byte, the size of the database, is zero in all others.
func sqliteCommit(e *event) bool {
	if !strings.Contains(e.data[max(0, len(e.data)-40):], `", 24`) {
		return false // a page
	}
	m := frameHeader.FindStringSubmatch(e.data)
	if m == nil {
		return false
	}
	b := unescape(m[1])
	return len(b) == 24 && (b[4]|b[5]|b[6]|b[7]) != 0
}

var frameHeader = regexp.MustCompile(`^, "((?:[^"\\]|\\.)*)", 24\b`)

// unescape reads a string as strace shows it.
func unescape(s string) []byte {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		i++
		if j := strings.IndexByte("ntrvfae", s[i]); j >= 0 {
			out = append(out, "\n\t\r\v\f\a\x1b"[j])
			continue
		}
		k := i
		for k < len(s) && k < i+3 && s[k] >= '0' && s[k] <= '7' {
			k++
		}
		if k == i {
			out = append(out, s[i])
			continue
		}
		v, _ := strconv.ParseUint(s[i:k], 8, 8)
		out = append(out, byte(v))
		i = k - 1
	}
	return out
}
