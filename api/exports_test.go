package api

import (
	"io"
	"net/http"
	"testing"

	"github.com/muster-cip/muster"
)

// An archive that fails when a part of it is out must not look like one that came to its end.
func TestAnArchiveThatFailsMidwayBreaksOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	take := func() (string, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/v1/exports/exp_1/archive", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+all)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		data, err := io.ReadAll(res.Body)
		return string(data), err
	}
	if got, err := take(); err != nil || got != "sealed" {
		t.Fatalf("whole: %q, %v", got, err)
	}
	b.house.mu.Lock()
	b.house.err = muster.Errorf(muster.CodeUnavailable, "the store went away")
	b.house.mu.Unlock()
	if got, err := take(); err == nil {
		t.Errorf("it ended as if it were whole: %q", got)
	}
}
