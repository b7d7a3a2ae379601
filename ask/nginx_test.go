package ask

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muster-cip/muster/internal/loopback"
)

// TestNginx asks through Debian's nginx, configured as docs/integrate.md says.
func TestNginx(t *testing.T) {
	t.Parallel()
	bin, err := exec.LookPath("nginx")
	if err != nil {
		if bin = "/usr/sbin/nginx"; !executable(bin) {
			t.Skip("nginx is not installed")
		}
	}
	r, s := recorder(t, nil)
	gate := serve(t, map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /v1/gate/auth-request": (&Nginx{Gate: gateFunc(provider), Clock: clock, Record: r}).Ask,
	})
	panel := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "panel %s %s", r.Header.Get("X-Gate-Status"), r.Header.Get("X-Gate-Obligations"))
	}))
	t.Cleanup(panel.Close)

	sample, err := os.ReadFile("../docs/samples/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	addr := loopback.Address(t)
	site := strings.NewReplacer(
		"http://127.0.0.1:8421", gate.URL, "http://127.0.0.1:8080", panel.URL, "listen 80;", "listen "+addr+";",
	).Replace(string(sample))
	conf := "daemon off;\nmaster_process off;\npid " + dir + "/pid;\nerror_log " + dir + "/error.log info;\nevents {}\nhttp {\n" +
		"access_log off;\nclient_body_temp_path " + dir + "/b;\nproxy_temp_path " + dir + "/p;\nfastcgi_temp_path " + dir + "/f;\nuwsgi_temp_path " + dir + "/u;\nscgi_temp_path " + dir + "/s;\n" +
		site + "}\n"
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-p", dir, "-c", path, "-e", dir+"/error.log")
	out := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
		if t.Failed() {
			log, _ := os.ReadFile(dir + "/error.log")
			t.Logf("%s\n%s", out, log)
		}
	})
	up := time.Now().Add(time.Minute)
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(up) {
			t.Fatal("nginx does not listen")
		}
		time.Sleep(5 * time.Millisecond) // another process: there is nothing to wait on
	}

	get := func(account, path string) (int, string, http.Header) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+path, strings.NewReader("body that the gate does not see"))
		if err != nil {
			t.Fatal(err)
		}
		if account != "" {
			req.Header.Set("X-Account", account)
		}
		req.Header.Set("X-Muster-Account", "r-open") // a customer's own: must not count
		req.Header.Set("X-Muster-Action", "export_data")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b), res.Header
	}
	for _, c := range []struct {
		account, path string
		status        int
		body          string
	}{
		{"r-open", "/panel/", 200, "panel allow "},
		{"r-limited", "/panel/", 200, `panel limited {"products":["vm"],"gpu":"none","instances":2,"spend":{"amount":5000,"currency":"EUR"}}`},
		{"r-limited", "/gpu/", 403, ""},
		{"r-denied", "/panel/", 403, ""},
		{"nobody", "/panel/", 403, ""},
		{"", "/panel/", 401, ""},
	} {
		status, body, h := get(c.account, c.path)
		if status != c.status || c.body != "" && body != c.body {
			t.Errorf("%s %s: %d %q", c.account, c.path, status, body)
		}
		if c.account == "r-denied" {
			words, err := url.PathUnescape(h.Get("X-Gate-Reason"))
			if err != nil || !strings.Contains(words, "Identität") {
				t.Errorf("the customer's words: %q, %v", words, err)
			}
			for name, values := range h {
				if strings.Contains(strings.Join(values, ""), "review queue") {
					t.Errorf("%s tells the customer what is for the operator", name)
				}
			}
		}
	}
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, rec := range s.batches[0].Records {
		seen = append(seen, rec.Action+" "+string(rec.Answer)+" "+rec.Protocol)
	}
	if got := strings.Join(seen, ", "); strings.Count(got, "deny auth_request") != 3 || !strings.Contains(got, "add_gpu deny") || strings.Contains(got, "export_data") {
		t.Error(got)
	}
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist) && err == nil && info.Mode()&0o111 != 0
}
