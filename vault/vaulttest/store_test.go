package vaulttest_test

import (
	"testing"

	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/vault/vaulttest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	vaulttest.Conformance(t, func(*testing.T) vault.KeyStore { return vaulttest.NewStore() })
}

func TestNew(t *testing.T) {
	t.Parallel()
	if _, err := vaulttest.New(t).TakeKey(t.Context()); err != nil {
		t.Fatal(err)
	}
}
