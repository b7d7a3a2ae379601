package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
	"github.com/muster-cip/muster/packs"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/programme"
)

func newPolicy(t terminal) *cobra.Command {
	return group("policy", "Policy packs: check, print, compare, replay and activate the written programme",
		newPolicyCheck(t), newPolicyRender(t), newPolicyDiff(t), newPolicyReplay(t), newPolicyActivate(t), newPolicyApprove(t), newPolicyList(t),
	)
}

// readPackFile reads a policy pack from a file, bounded.
func readPackFile(path string) ([]byte, error) { return readFile(path, 1<<20) }

// packSource is a pack's bytes: of a file, or of the embedded pack of that id.
func packSource(name string) ([]byte, error) {
	source, err := readPackFile(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return source, err
	}
	if source, ok := packs.Source(name); ok {
		return source, nil
	}
	return nil, &muster.Error{
		Code: muster.CodeNotFound, Message: name + " is neither a file nor an embedded pack", Hint: "embedded packs: " + strings.Join(embedded(), ", "),
	}
}

// embedded are the ids of the packs that the program carries.
func embedded() (ids []string) {
	files, err := fs.Glob(packs.FS, "*.yaml")
	if err != nil {
		panic(err) // the pattern is constant
	}
	for _, f := range files {
		ids = append(ids, strings.TrimSuffix(filepath.Base(f), ".yaml"))
	}
	slices.Sort(ids)
	return ids
}

func readPack(name string) (*policy.Pack, error) {
	source, err := packSource(name)
	if err != nil {
		return nil, err
	}
	p, err := programme.Compile(source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

const packWords = "FILE may be the id of an embedded pack, such as " + packs.Default + "."

func newPolicyCheck(t terminal) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "check FILE", Short: "Check a pack and run its examples", Args: cobra.ExactArgs(1),
		Long: "Check a pack: compile it, run its examples, and look for what no pack may do. Opens no store.\n" + packWords,
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := readPack(args[0])
			if err != nil {
				return err
			}
			report := policy.Check(p)
			if asJSON {
				err = printJSON(t.out, report)
			} else {
				err = printCheck(t, p, report)
			}
			if err == nil && !report.OK() {
				err = muster.Errorf(muster.CodeInvalid, "the pack is refused: %d findings", len(report.Findings))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func printCheck(t terminal, p *policy.Pack, r policy.Report) error {
	var rows [][]string
	for _, f := range r.Findings {
		rows = append(rows, []string{f.Where, f.Code, f.Detail})
	}
	none := fmt.Sprintf("%s %s: nothing found; %d rules, %d examples came out as they should", p.ID(), p.Edition(), p.Rules(), r.Examples)
	return table(t.out, none, []string{"WHERE", "FINDING", "DETAIL"}, rows)
}

func newPolicyRender(t terminal) *cobra.Command {
	var format, out string
	cmd := &cobra.Command{
		Use: "render FILE", Short: "Print the written programme of a pack", Args: cobra.ExactArgs(1),
		Long: "Print the written programme of a pack, complete enough to hand to an examiner. What has no\nrecord behind it says \"not provided\". Opens no store.\n" + packWords,
		RunE: func(_ *cobra.Command, args []string) error {
			if format != "md" && format != "html" {
				return usageError{errors.New("--format is md or html")}
			}
			p, err := readPack(args[0])
			if err != nil {
				return err
			}
			text := policy.Render(p, nil)
			if format == "html" {
				if text, err = policy.RenderHTML(p, nil); err != nil {
					return err
				}
			}
			return t.write(out, []byte(text))
		},
	}
	cmd.Flags().StringVar(&format, "format", "md", "md or html")
	cmd.Flags().StringVar(&out, "out", "", "file to write (default: the standard output)")
	return cmd
}

// write writes data to a file, whole or not at all, or to the standard output.
func (t terminal) write(path string, data []byte) error {
	if path == "" || path == "-" {
		_, err := t.out.Write(data)
		return err
	}
	if err := durable.WriteFile(path, data, 0o600); err != nil {
		return err
	}
	_, err := fmt.Fprintln(t.err, "written:", path)
	return err
}

func newPolicyDiff(t terminal) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "diff OLD NEW", Short: "Say in plain words what changes from one pack to another", Args: cobra.ExactArgs(2),
		Long: "Say in plain words what changes from one pack to another. Opens no store.\nOLD and NEW may be ids of embedded packs.",
		RunE: func(_ *cobra.Command, args []string) error {
			was, err := readPack(args[0])
			if err != nil {
				return err
			}
			is, err := readPack(args[1])
			if err != nil {
				return err
			}
			text := policy.Diff(was, is)
			if asJSON {
				return printJSON(t.out, struct {
					Old     muster.PackRef `json:"old"`
					New     muster.PackRef `json:"new"`
					Same    bool           `json:"same"`
					Changes []string       `json:"changes"`
				}{was.Ref(), is.Ref(), was.Digest() == is.Digest(), strings.Split(strings.TrimRight(text, "\n"), "\n")})
			}
			_, err = fmt.Fprintln(t.out, strings.TrimRight(text, "\n"))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}
