package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// TestPodRuns is the chart, the image and the program together: the pod that the chart
// makes, started in the image's own file system with its volumes mounted as a kubelet
// does, probed where the chart says.
func TestPodRuns(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{"plain": "", "tls": "tls: {secret: muster-tls}\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := render(t, "image: {repository: r}\nconfig: {origin: muster.example.net/log}\ninit: {enabled: true, operator: \"Ada Obi\", packs: [us-iaas-cip, in-cert-in]}\n"+more)
			if err != nil {
				t.Fatal(err)
			}
			c := setupContainer(t, setup(t))
			certificate, key := selfSigned(t)
			r.mount(t, c, map[string]map[string]string{"muster-tls": {"tls.crt": certificate, "tls.key": key}})
			at := freeAddress(t)
			env := []string{"MUSTER_LISTEN=" + at} // the port is the pod's own in a cluster
			main := r.pod.Spec.Containers[0]
			probes, scheme := []string{}, "http"
			for _, p := range []*corev1.Probe{main.StartupProbe, main.LivenessProbe, main.ReadinessProbe} {
				probes = append(probes, p.HTTPGet.Path)
				if p.HTTPGet.Scheme == corev1.URISchemeHTTPS {
					scheme = "https"
				}
			}
			for range 2 { // a pod that comes back makes nothing anew
				c.run(env, r.pod.Spec.InitContainers[0].Args...)
				stop := c.serve(at, scheme, probes, env, main.Args...)
				if scheme == "http" {
					// The command that the notes give.
					_, command, _ := strings.Cut(r.notes, "-- muster ")
					command, _, _ = strings.Cut(strings.ReplaceAll(command, "\\\n", ""), "\n")
					command = strings.Replace(command, "--name laptop", "--name laptop-"+t.Name()[len(t.Name())-1:], 1)
					if got := c.run(env, strings.Fields(command)...); !strings.Contains(got, "muster_production_") {
						t.Errorf("muster %s: %s", command, got)
					}
				}
				stop()
			}
			// Nothing was written but on volumes.
			err = filepath.WalkDir(c.root, func(path string, d os.DirEntry, err error) error {
				if err == nil && !strings.HasPrefix(path, c.root+"/var/lib/") && d.Type().IsRegular() {
					if info, err := d.Info(); err != nil || ownerOf(info) != 0 {
						t.Errorf("the program wrote %s", path)
					}
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPodDoesNotMakeADeploymentUnasked: without init an empty volume is a fault.
func TestPodDoesNotMakeADeploymentUnasked(t *testing.T) {
	t.Parallel()
	r, err := render(t, cases["sqlite"])
	if err != nil {
		t.Fatal(err)
	}
	c := setupContainer(t, setup(t))
	r.mount(t, c, nil)
	out, err := c.command(t.Context(), nil, r.pod.Spec.Containers[0].Args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "there is no key store") {
		t.Errorf("%v\n%s", err, out)
	}
}

func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "muster"}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"muster.prod.svc"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}
