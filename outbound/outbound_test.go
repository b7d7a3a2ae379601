package outbound

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPublic(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addr string
		want bool
	}{
		{"1.1.1.1", true},
		{"8.8.8.8", true},
		{"193.0.6.139", true},
		{"2001:4860:4860::8888", true},
		{"2606:4700::1", true},
		{"0.0.0.0", false},
		{"0.1.2.3", false},
		{"10.0.0.1", false},
		{"100.64.0.1", false},
		{"100.100.100.200", false},
		{"127.0.0.1", false},
		{"127.255.255.254", false},
		{"168.63.129.16", false},
		{"169.254.169.254", false},
		{"172.16.0.1", false},
		{"172.31.255.255", false},
		{"172.32.0.1", true},
		{"192.0.0.192", false},
		{"192.0.2.1", false},
		{"192.168.1.1", false},
		{"198.18.0.1", false},
		{"198.51.100.1", false},
		{"203.0.113.1", false},
		{"224.0.0.1", false},
		{"239.255.255.255", false},
		{"240.0.0.1", false},
		{"255.255.255.255", false},
		{"::", false},
		{"::1", false},
		{"fe80::1", false},
		{"fe80::1%eth0", false},
		{"fc00::1", false},
		{"fd00:ec2::254", false},
		{"ff02::1", false},
		{"fec0::1", false},
		{"2001:db8::1", false},
		{"3fff::1", false},
		{"100::1", false},
		{"5f00::1", false},
		{"::ffff:127.0.0.1", false},
		{"::ffff:169.254.169.254", false},
		{"::ffff:1.1.1.1", true},
		{"::127.0.0.1", false},
		{"::1.1.1.1", false}, // IPv4-compatible: nobody routes it
		{"64:ff9b::127.0.0.1", false},
		{"64:ff9b::a9fe:a9fe", false},
		{"64:ff9b::1.1.1.1", true},
		{"64:ff9b:1::1.1.1.1", false},
		{"2002:7f00:1::", false},
		{"2002:a9fe:a9fe::1", false},
		{"2002:101:101::1", true},
		{"2001:0:4136:e378:8000:63bf:3fff:fdd2", false}, // Teredo
	} {
		if got := Public(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s: got %v", c.addr, got)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestWhatGoIsSureIsNotPublicIsNotPublicHere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var a netip.Addr
		if rapid.Bool().Draw(t, "v4") {
			a = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "bytes")))
		} else {
			a = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes")))
		}
		private := a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified()
		if private && Public(a) {
			t.Fatalf("%s passes", a)
		}
		if a.Is4() {
			b := a.As4()
			wrapped := [16]byte{0: 0x00, 1: 0x64, 2: 0xff, 3: 0x9b}
			copy(wrapped[12:], b[:])
			if Public(netip.AddrFrom16(wrapped)) != Public(a) || Public(netip.AddrFrom16(a.As16())) != Public(a) {
				t.Fatalf("%s is judged otherwise when wrapped", a)
			}
		}
	})
}

// bundle is a server on loopback and a client that may call it or not.
func bundle(t *testing.T, h http.HandlerFunc, change func(*Config)) (*Client, *httptest.Server, string) {
	t.Helper()
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	at := strings.TrimPrefix(web.URL, "http://")
	c := Config{Allow: []string{at}, Timeout: time.Minute}
	if change != nil {
		change(&c)
	}
	client, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client, web, at
}

func get(t *testing.T, c *Client, url string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Do(req)
}

func TestLoopbackIsRefusedUnlessListed(t *testing.T) {
	t.Parallel()
	called := false
	web := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	t.Cleanup(web.Close)
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	port := web.URL[strings.LastIndexByte(web.URL, ':')+1:]
	none, err := New(Config{Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "0.0.0.0"} {
		if _, err := get(t, none, "https://"+host+":"+port+"/"); !errors.Is(err, ErrAddress) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if called {
		t.Fatal("the receiver was called")
	}
	// The exception is for that name and port and for no other.
	one, err := New(Config{Roots: roots, Allow: []string{"127.0.0.1:" + port}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, one, "https://localhost:"+port+"/"); !errors.Is(err, ErrAddress) {
		t.Errorf("another name: %v", err)
	}
	if _, err := get(t, one, "https://127.0.0.1:1/"); !errors.Is(err, ErrAddress) {
		t.Errorf("another port: %v", err)
	}
	res, err := get(t, one, web.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if !called {
		t.Error("the exception was not called")
	}
}

func TestProxyOfTheEnvironmentIsNotAsked(t *testing.T) {
	// Not parallel: it sets the environment.
	asked := false
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	t.Cleanup(proxy.Close)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} { // of whoever runs this
		t.Setenv(name, "")
	}
	// Nobody is there. A name that nobody has is one that some name servers answer for.
	const at = "255.255.255.255:80"
	c, err := New(Config{Allow: []string{at, strings.TrimPrefix(proxy.URL, "http://")}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, c, "http://"+at+"/"); err == nil || asked {
		t.Errorf("asked %v, error %v", asked, err)
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "inside") }))
	t.Cleanup(inner.Close)
	to := ""
	go302 := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }

	none, web, _ := bundle(t, go302, nil)
	to = inner.URL
	if _, err := get(t, none, web.URL); !errors.Is(err, ErrRedirect) {
		t.Errorf("none allowed: %v", err)
	}
	some, web, _ := bundle(t, go302, func(c *Config) { c.Redirects = 2 })
	if _, err := get(t, some, web.URL); !errors.Is(err, ErrURL) {
		t.Errorf("to http that is not listed: %v", err)
	}
	to = "https://169.254.169.254/latest/meta-data"
	if _, err := get(t, some, web.URL); !errors.Is(err, ErrAddress) {
		t.Errorf("to metadata: %v", err)
	}
	to = web.URL
	if _, err := get(t, some, web.URL); !errors.Is(err, ErrRedirect) {
		t.Errorf("in a circle: %v", err)
	}
	both, web, _ := bundle(t, go302, func(c *Config) {
		c.Redirects = 2
		c.Allow = append(c.Allow, strings.TrimPrefix(inner.URL, "http://"))
	})
	to = inner.URL
	res, err := get(t, both, web.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); string(b) != "inside" {
		t.Errorf("got %q", b)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	size, known := 0, false
	c, web, _ := bundle(t, func(w http.ResponseWriter, r *http.Request) {
		if known {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		} else {
			w.(http.Flusher).Flush()
		}
		io.WriteString(w, strings.Repeat("a", size))
	}, func(c *Config) { c.MaxBytes = 100 })
	for _, known = range []bool{false, true} {
		for _, size = range []int{0, 99, 100, 101, 5000} {
			res, err := get(t, c, web.URL)
			var b []byte
			if err == nil {
				b, err = io.ReadAll(res.Body)
				res.Body.Close()
			}
			if size <= 100 && (err != nil || len(b) != size) || size > 100 && (!errors.Is(err, ErrTooLarge) || len(b) > 100) {
				t.Errorf("%d bytes, length known %v: got %d, %v", size, known, len(b), err)
			}
		}
	}
}

func TestErrorsNameNoURL(t *testing.T) {
	t.Parallel()
	c, err := New(Config{Allow: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{"http://127.0.0.1:1/s3cret", "https://10.0.0.1/s3cret", "ftp://a.example.org/s3cret"} {
		_, err := get(t, c, u)
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v", err)
		}
		var ue *url.Error
		if errors.As(err, &ue) {
			t.Error("the URL is in the chain of causes")
		}
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	c, err := New(Config{Allow: []string{"gateway.internal:8080", "[fd00::1]:443", "sms_gw:80"}})
	if err != nil {
		t.Fatal(err)
	}
	for u, want := range map[string]error{
		"https://hooks.example.org/muster?x=1":   nil,
		"https://hooks.example.org:8443/":        nil,
		"https://bücher.example/":                nil,
		"https://1.1.1.1/":                       nil,
		"http://gateway.internal:8080/":          nil,
		"http://GATEWAY.internal.:8080/":         nil,
		"https://[fd00::1]/":                     nil,
		"http://sms_gw/":                         nil,
		"http://hooks.example.org/":              ErrURL,
		"http://gateway.internal/":               ErrURL,
		"https://user:pw@hooks.example.org/":     ErrURL,
		"https://hooks.example.org/#a":           ErrURL,
		"https:///path":                          ErrURL,
		"https:hooks.example.org":                ErrURL,
		"hooks.example.org":                      ErrURL,
		"file:///etc/passwd":                     ErrURL,
		"":                                       ErrURL,
		"https://a b/":                           ErrURL,
		"https://h/" + strings.Repeat("a", 2048): ErrURL,
		"https://169.254.169.254/":               ErrAddress,
		"https://[::ffff:10.0.0.1]/":             ErrAddress,
	} {
		if err := c.CheckURL(u); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: got %v, want %v", u, err, want)
		}
	}
	for _, bad := range []Config{{Allow: []string{"host"}}, {Allow: []string{":80"}}, {Timeout: -1}} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func FuzzCheckURL(f *testing.F) {
	f.Add("https://hooks.example.org/")
	f.Add("https://127.0.0.1/")
	f.Add("http://0x7f000001/")
	c, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if c.CheckURL(raw) != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
			t.Errorf("%q passed", raw)
		}
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && !Public(a) {
			t.Errorf("%q passed", raw)
		}
	})
}

// The example of the Standard Webhooks specification and its reference libraries.
func TestSignatureOfTheSpecification(t *testing.T) {
	t.Parallel()
	secrets, err := ParseSecrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	Sign(h, secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got := h.Get("webhook-signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Error(got)
	}
	if h.Get("webhook-id") != "msg_p5jXN8AQM9LWM0D4loKWxJek" || h.Get("webhook-timestamp") != "1614265330" {
		t.Error(h)
	}
}

func TestEachSecretSigns(t *testing.T) {
	t.Parallel()
	secrets := []Secret{NewSecret(), NewSecret()}
	again, err := ParseSecrets(FormatSecrets(secrets))
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	Sign(h, again, "msg_1", time.Unix(5, 999), []byte("body"))
	signatures := strings.Fields(h.Get(HeaderSignature))
	if len(signatures) != 2 {
		t.Fatal(signatures)
	}
	for i, s := range secrets {
		key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Text(), "whsec_"))
		mac := hmac.New(sha256.New, key)
		io.WriteString(mac, "msg_1.5.body")
		if signatures[i] != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			t.Errorf("signature %d", i)
		}
		if text := fmt.Sprintf("%v %+v %#v %s %d %x", s, s, s, s, s, s); strings.Contains(text, s.Text()) || strings.Contains(text, fmt.Sprint(key[0], " ", key[1])) || strings.Contains(text, fmt.Sprintf("%x", key)) {
			t.Error("a secret prints")
		}
	}
	for _, bad := range []string{"", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!", strings.Repeat(secrets[0].Text()+" ", 5), "whsec_" + strings.Repeat("A", 128)} {
		if _, err := ParseSecrets(bad); err == nil {
			t.Errorf("%q was taken", bad)
		} else if len(bad) > 20 && strings.Contains(err.Error(), bad) {
			t.Error("the error repeats a secret")
		}
	}
}
