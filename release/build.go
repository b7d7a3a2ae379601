package main

import (
	"context"
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// binary is the program for one architecture.
type binary struct {
	path string
	info *debug.BuildInfo
}

// build compiles the program and refuses what is not static or of another machine.
func (m *made) build(ctx context.Context, arch string) (*binary, error) {
	b := &binary{path: filepath.Join(m.work, name+"-"+arch)}
	// -s -w leave out what only a debugger reads; traces of a panic keep their lines.
	_, err := m.golang(ctx, []string{"GOOS=linux", "GOARCH=" + arch}, "build", "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w -X main.release="+m.Version, "-o", b.path, "./cmd/muster")
	if err != nil {
		return nil, err
	}
	if err := checkStatic(b.path, arch); err != nil {
		return nil, err
	}
	b.info, err = buildinfo.ReadFile(b.path)
	return b, err
}

// golang runs the go command on the repository's own module and returns what it printed.
func (m *made) golang(ctx context.Context, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = m.Source, append(goEnvironment(), env...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, errs.String())
	}
	return string(out), nil
}

// goEnvironment is the environment without whatever changes what a compiler makes;
// where caches, proxies and temporary files are stays as it is.
func goEnvironment() []string {
	fixed := []string{"CGO_ENABLED=0", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off", "GOFLAGS=-mod=readonly", "GOWORK=off", "GOTOOLCHAIN=local"}
	dropped := []string{"GOOS", "GOARCH", "GOEXPERIMENT", "GODEBUG", "GOROOT_FINAL"}
	for _, f := range fixed {
		variable, _, _ := strings.Cut(f, "=")
		dropped = append(dropped, variable)
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		variable, _, _ := strings.Cut(v, "=")
		return slices.Contains(dropped, variable)
	})
	return append(env, fixed...)
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// checkStatic reads the ELF header: the right machine, and nothing that a loader of
// the system would have to bring.
func checkStatic(path, arch string) error {
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Machine != machines[arch] || f.Class != elf.ELFCLASS64 {
		return fmt.Errorf("%s is for %v, not for %s", path, f.Machine, arch)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			return fmt.Errorf("%s is not static: it has a program header %v", path, p.Type)
		}
	}
	return nil
}

// here runs the program on this machine, to have it print its own completions. Where
// this is none of the release's machines, one for it is built.
func (m *made) here(ctx context.Context, args ...string) ([]byte, error) {
	b := m.binaries[runtime.GOARCH]
	if b == nil || runtime.GOOS != "linux" {
		path := filepath.Join(m.work, name+"-here")
		if _, err := m.golang(ctx, nil, "build", "-trimpath", "-buildvcs=false", "-o", path, "./cmd/muster"); err != nil {
			return nil, err
		}
		b = &binary{path: path}
	}
	cmd := exec.CommandContext(ctx, b.path, args...)
	cmd.Env = []string{"LC_ALL=C.UTF-8"}
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("muster %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}
