package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/outbound"
	"github.com/muster-cip/muster/vault"
)

// Where the root key is, by the prefix of root_key; without one it is a file.
const (
	credentialPrefix = "credential:"
	kmsPrefix        = "kms:"
	kmsTransit       = kmsPrefix + "transit"
	kmsAWS           = kmsPrefix + "aws"
)

// KMSConfig names the services that can keep the root key.
type KMSConfig struct {
	Transit TransitConfig `yaml:"transit,omitempty"`
	AWS     AWSConfig     `yaml:"aws,omitempty"`
}

// TransitConfig is the transit secrets engine of HashiCorp Vault or OpenBao.
type TransitConfig struct {
	URL       string `yaml:"url,omitempty"`
	Mount     string `yaml:"mount,omitempty"` // default: transit
	Key       string `yaml:"key,omitempty"`   // default: muster
	Namespace string `yaml:"namespace,omitempty"`
	Token     string `yaml:"token_file,omitempty"` // read at each call
	CA        string `yaml:"ca_file,omitempty"`    // PEM; default: the system's authorities
}

// AWSConfig is AWS Key Management Service.
type AWSConfig struct {
	Key      string `yaml:"key,omitempty"` // id, ARN or alias ARN
	Region   string `yaml:"region,omitempty"`
	Endpoint string `yaml:"endpoint,omitempty"` // default: AWS's
}

// placeRootKey makes root_key whole; base is where relative paths begin.
func (c *Config) placeRootKey(base string) {
	switch {
	case c.RootKey == "":
		c.RootKey = filepath.Join(c.Keys, "root.key")
	case strings.HasPrefix(c.RootKey, credentialPrefix), strings.HasPrefix(c.RootKey, kmsPrefix), filepath.IsAbs(c.RootKey):
	default:
		c.RootKey = filepath.Join(base, c.RootKey)
	}
}

// rootKeyFile is the file of the root key, "" where it is elsewhere.
func (c *Config) rootKeyFile() string {
	if strings.HasPrefix(c.RootKey, credentialPrefix) || strings.HasPrefix(c.RootKey, kmsPrefix) {
		return ""
	}
	return c.RootKey
}

// wrongRootKey says what of the root key's configuration is wrong, "" for nothing.
func (c *Config) wrongRootKey() string {
	switch {
	case !strings.HasPrefix(c.RootKey, kmsPrefix):
	case c.RootKey == kmsTransit:
		if c.KMS.Transit.URL == "" || c.KMS.Transit.Token == "" {
			return "root_key " + kmsTransit + " needs kms.transit.url and kms.transit.token_file"
		}
	case c.RootKey == kmsAWS:
		if c.KMS.AWS.Key == "" {
			return "root_key " + kmsAWS + " needs kms.aws.key"
		}
	default:
		return "root_key names a file, credential:NAME, " + kmsTransit + " or " + kmsAWS
	}
	return ""
}

// openRootKey opens the root key where the configuration says it is.
func openRootKey(ctx context.Context, c *Config) (vault.KMS, error) {
	if name, ok := strings.CutPrefix(c.RootKey, credentialPrefix); ok {
		return vault.OpenCredential(name)
	}
	switch t := c.KMS.Transit; c.RootKey {
	case kmsTransit:
		client, err := kmsClient(c, t.URL, t.CA)
		if err != nil {
			return nil, err
		}
		return vault.NewTransit(vault.TransitConfig{
			URL: t.URL, Mount: cmp.Or(t.Mount, "transit"), Key: cmp.Or(t.Key, "muster"), Namespace: t.Namespace, Client: client,
			Token: func() (string, error) { return secretFile(t.Token) },
		})
	case kmsAWS:
		client, err := kmsClient(c, c.KMS.AWS.Endpoint, "")
		if err != nil {
			return nil, err
		}
		return vault.NewAWSKMS(ctx, vault.AWSConfig{Key: c.KMS.AWS.Key, Region: c.KMS.AWS.Region, Endpoint: c.KMS.AWS.Endpoint, Client: client})
	}
	return vault.OpenKeyFile(c.RootKey)
}

// kmsClient reaches the service that the configuration names, private or not:
// whoever may write the configuration may name it.
func kmsClient(c *Config, server, ca string) (*outbound.Client, error) {
	o := outbound.Config{Allow: slices.Clone(c.Out.Allow)}
	if u, err := url.Parse(server); err == nil && u.Host != "" {
		port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
		o.Allow = append(o.Allow, net.JoinHostPort(u.Hostname(), port))
	}
	if ca != "" {
		pem, err := readFile(ca, 1<<20)
		if err != nil {
			return nil, err
		}
		o.Roots = x509.NewCertPool()
		if !o.Roots.AppendCertsFromPEM(pem) {
			return nil, muster.Errorf(muster.CodeInvalid, "%s holds no certificate in PEM", ca)
		}
	}
	client, err := outbound.New(o)
	if err != nil {
		return nil, fmt.Errorf("kms: %w", err)
	}
	return client, nil
}
