// Command testlog reads `go test -json` and prints what a person wants to see:
// a line a package, the whole output of what failed, and at the end every test
// that was skipped, with its reason. It exits with 1 where anything failed, so
// that a test run whose own exit code is lost still fails.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64
	Output  string
}

func main() {
	type key struct{ pkg, test string }
	output := map[key][]string{}
	var skipped, failed []string
	passed := 0
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var e event
		if json.Unmarshal(in.Bytes(), &e) != nil || e.Action == "" {
			fmt.Println(in.Text()) // of the build
			continue
		}
		k := key{e.Package, e.Test}
		name := strings.TrimPrefix(strings.TrimPrefix(e.Package, "github.com/muster-cip/muster"), "/")
		if name == "" {
			name = "."
		}
		switch e.Action {
		case "output":
			output[k] = append(output[k], e.Output)
		case "build-output":
			fmt.Print(e.Output)
		case "build-fail":
			failed = append(failed, e.Package+" does not build")
		case "pass", "skip", "fail":
			if e.Test != "" {
				switch e.Action {
				case "pass":
					passed++
				case "skip":
					skipped = append(skipped, name+" "+e.Test+": "+reason(output[k]))
				case "fail":
					failed = append(failed, name+" "+e.Test)
					fmt.Print(strings.Join(output[k], ""))
				}
				delete(output, k)
				break
			}
			switch e.Action {
			case "pass":
				fmt.Printf("ok    %-28s %6.1f s\n", name, e.Elapsed)
			case "fail":
				fmt.Printf("FAIL  %-28s %6.1f s\n%s", name, e.Elapsed, strings.Join(output[k], ""))
				failed = append(failed, name)
			}
			delete(output, k)
		}
	}
	if err := in.Err(); err != nil {
		failed = append(failed, "the output of go test could not be read: "+err.Error())
	}
	fmt.Printf("\n%d tests passed, %d failed, %d skipped\n", passed, len(failed), len(skipped))
	for _, s := range skipped {
		fmt.Println("skipped:", s)
	}
	for _, s := range failed {
		fmt.Println("failed: ", s)
	}
	if len(failed) > 0 || passed == 0 {
		os.Exit(1)
	}
}

// reason is what a skipped test said.
func reason(lines []string) string {
	var said []string
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if l != "" && !strings.HasPrefix(l, "===") && !strings.HasPrefix(l, "---") {
			said = append(said, l)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}
