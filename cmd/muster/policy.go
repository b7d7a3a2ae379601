package main

// readPackFile reads a policy pack from a file, bounded.
func readPackFile(path string) ([]byte, error) { return readFile(path, 1<<20) }
