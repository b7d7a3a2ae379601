// Command testlog reads `go test -json` and prints what a person wants to see:
// a line a package, the whole output of what failed, and at the end every test
// that was skipped, with its reason. It exits with 1 where anything failed, so
// that a test run whose own exit code is lost still fails.
//
//	go test -json ./... | testlog [FILE]
//
// FILE is added to: what failed, each with the end of what it said, for the end of a run
// of which others see no more than that.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
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
	output := map[key][]string{} // of what has not ended
	var brief strings.Builder
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
					excerpt(&brief, name+" "+e.Test, output[k])
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
				for at, said := range output { // a program that ends in the middle, as by its timeout, ends none of its tests
					if at.pkg == e.Package && at.test != "" {
						fmt.Printf("%s did not end:\n%s", at.test, strings.Join(said, ""))
						excerpt(&brief, name+" "+at.test+" did not end", said)
						delete(output, at)
					}
				}
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
	if len(os.Args) > 1 && brief.Len() > 0 {
		f, err := os.OpenFile(os.Args[1], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = f.WriteString(brief.String())
			f.Close()
		}
		if err != nil {
			fmt.Println(err)
		}
	}
	if len(failed) > 0 || passed == 0 {
		os.Exit(1)
	}
}

// excerpt adds the beginning and the end of what a test said that failed: the first
// message is of the cause, and the last are logs.
func excerpt(to *strings.Builder, name string, said []string) {
	const head, tail = 12, 40
	said = slices.DeleteFunc(slices.Clone(said), func(l string) bool { return strings.HasPrefix(l, "===") })
	if len(said) == 0 {
		return // it waited for its turn
	}
	fmt.Fprintf(to, "\n-- %s\n", name)
	if len(said) > head+tail {
		said = slices.Concat(said[:head], []string{"...\n"}, said[len(said)-tail:])
	}
	for _, l := range said {
		if len(l) > 1000 {
			l = l[:1000] + "...\n"
		}
		to.WriteString(l)
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
