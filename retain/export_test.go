package retain

// Together has one erasure hold n files at most.
func (s *Service) Together(n int) { s.together = n }
