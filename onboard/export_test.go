package onboard

// MoveApplication and MoveAccount look the tables up, for the walk of the tests.
func MoveApplication(from, on string) (string, error) { return newStates().moveApplication(from, on) }
func MoveAccount(from, on string) (string, error)     { return newStates().moveAccount(from, on) }
