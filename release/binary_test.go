package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// programs are the binaries of the first release, unpacked, by architecture.
func (r *releases) programs(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, arch := range architectures {
		base := "muster_" + version + "_linux_" + arch
		files := unpack(t, bytes.NewReader(gunzip(t, read(t, r.file(t, base+".tar.gz")))))
		for _, name := range []string{"", "/LICENSE", "/NOTICES", "/muster"} {
			if files[base+name] == nil {
				t.Fatalf("%s.tar.gz has no %s", base, name)
			}
		}
		if len(files) != 4 || files[base+"/muster"].Mode != 0o755 || files[base+"/NOTICES"].Mode != 0o644 {
			t.Errorf("%s.tar.gz holds other things: %d files", base, len(files))
		}
		all[arch] = filepath.Join(t.TempDir(), "muster")
		if err := os.WriteFile(all[arch], files[base+"/muster"].data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestBinariesAreStaticAndOfTheirMachine(t *testing.T) {
	t.Parallel()
	programs := setup(t).programs(t)
	for arch, path := range programs {
		if err := checkStatic(path, arch); err != nil {
			t.Error(err)
		}
		for _, other := range architectures {
			if other != arch && checkStatic(path, other) == nil {
				t.Errorf("the binary for %s passes for one of %s", arch, other)
			}
		}
	}
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := checkStatic(shell, runtime.GOARCH); err == nil || !strings.Contains(err.Error(), "not static") {
		t.Errorf("%s, which has a loader, passes for static: %v", shell, err)
	}
}

// TestBinariesRun runs each, the other machine's by an emulator where there is one:
// a version, a deployment with its keys and stores, and what the doctor finds in it.
func TestBinariesRun(t *testing.T) {
	t.Parallel()
	for arch, path := range setup(t).programs(t) {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			command := []string{path}
			if arch != runtime.GOARCH {
				emulator, err := exec.LookPath("qemu-" + map[string]string{"arm64": "aarch64", "amd64": "x86_64"}[arch])
				if err != nil {
					t.Skipf("no emulator (Debian: qemu-user): built, checked and vetted only: %v", err)
				}
				command = []string{emulator, path}
			}
			muster := func(args ...string) string {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), command[0], append(command[1:], args...)...)
				cmd.Env = []string{"HOME=/nonexistent"}
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("muster %s: %v\n%s", strings.Join(args, " "), err, out)
				}
				return string(out)
			}
			if got, want := muster("version"), "muster "+version+" "; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, " linux/"+arch+"\n") {
				t.Errorf("it says %q", got)
			}
			dir := filepath.Join(t.TempDir(), "d")
			muster("init", "--dir", dir, "--listen", "127.0.0.1:1", "--token-file", filepath.Join(dir, "token"))
			if got := muster("keys", "verify", "--config", filepath.Join(dir, "muster.yaml")); !strings.Contains(got, "every key opens") {
				t.Errorf("it says %q", got)
			}
		})
	}
}

// TestTheOtherMachineIsVetted reads all of the module as a compiler for arm64 does:
// files for one machine only are seen by no other test. The flags are those of the
// build, whose results are used again.
func TestTheOtherMachineIsVetted(t *testing.T) {
	t.Parallel()
	r := setup(t)
	if err := run1(r.checkout, append(goEnvironment(), "GOOS=linux", "GOARCH=arm64"), "go", "vet", "-trimpath", "./..."); err != nil {
		t.Error(err)
	}
}

// TestPartsAreThoseOfTheBinary holds the list of parts against what the go command
// reads in the binary, and against the licences that are passed on.
func TestPartsAreThoseOfTheBinary(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for arch, path := range r.programs(t) {
		var bom struct {
			BOMFormat, SpecVersion string
			Metadata               struct {
				Timestamp string
				Component struct{ Version, Purl string }
			}
			Components []struct {
				BOMRef        string `json:"bom-ref"`
				Name, Version string
				Purl          string
				Licenses      []struct{ License struct{ ID string } }
			}
			Dependencies []struct {
				Ref       string
				DependsOn []string
			}
		}
		if err := json.Unmarshal(read(t, r.file(t, "*_linux_"+arch+".cdx.json")), &bom); err != nil {
			t.Fatal(err)
		}
		if bom.BOMFormat != "CycloneDX" || bom.SpecVersion != "1.6" || bom.Metadata.Component.Version != version || bom.Metadata.Timestamp != "2026-11-26T11:00:00Z" {
			t.Errorf("%s: %+v", arch, bom.Metadata)
		}
		out, err := exec.CommandContext(t.Context(), "go", "version", "-m", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for _, m := range regexp.MustCompile(`(?m)^\tdep\t(\S+)\t(\S+)`).FindAllStringSubmatch(string(out), -1) {
			want = append(want, m[1]+"@"+m[2])
		}
		want = append(want, "std@"+strings.TrimPrefix(runtime.Version(), "go"))
		licensed := 0
		notices := string(unpack(t, bytes.NewReader(gunzip(t, read(t, r.file(t, "*_linux_"+arch+".tar.gz")))))["muster_"+version+"_linux_"+arch+"/NOTICES"].data)
		for _, c := range bom.Components {
			got = append(got, c.Name+"@"+c.Version)
			if c.Purl != "pkg:golang/"+c.Name+"@"+strings.ReplaceAll(c.Version, "+", "%2B") || !slices.Contains(bom.Dependencies[0].DependsOn, c.BOMRef) {
				t.Errorf("%s: %+v", arch, c)
			}
			for _, l := range c.Licenses {
				licensed++
				if !regexp.MustCompile(`^(Apache-2\.0|MIT|ISC|MPL-2\.0|BSD-[23]-Clause)$`).MatchString(l.License.ID) {
					t.Errorf("%s has the licence %q", c.Name, l.License.ID)
				}
			}
			if c.Name != "std" && !strings.Contains(notices, "\n"+c.Name+" "+c.Version+", ") {
				t.Errorf("NOTICES has no terms of %s %s", c.Name, c.Version)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) || len(got) < 50 {
			t.Errorf("%s: parts of the binary\n%v\nparts in the list\n%v", arch, want, got)
		}
		if licensed < 20 {
			t.Errorf("%s: only %d parts have a licence", arch, licensed)
		}
		for must, times := range map[string]int{"CC BY-SA 4.0": 1, "The Go standard library, LICENSE": 1, "Redistributions in binary form must reproduce": 20, "Apache License": 10} {
			if n := strings.Count(notices, must); n < times {
				t.Errorf("NOTICES says %q %d times", must, n)
			}
		}
	}
}
