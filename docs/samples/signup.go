// Command samples asks Muster about one application (JSON on standard input)
// and says what a sign-up page does next.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// Answer is the part of Muster's answer that a sign-up page reads.
type Answer struct {
	AccountState string `json:"account_state"` // pending, active, limited, suspended, closing, closed
	Next         string `json:"next"`          // where to send the customer, if anything is needed
	Decision     struct {
		Limits  json.RawMessage `json:"limits"`
		Needs   []struct{ Words string }
		Reasons []struct{ Customer string }
	} `json:"decision"`
	Errors []struct{ Pointer, Detail string } `json:"errors"` // of a refusal to take it
}

var client = http.Client{Timeout: 3 * time.Second}

// Ask posts an application: twice at most, for the same reference is the same
// application. Our fail mode is hold: without an answer nothing opens, nothing is
// lost, and the customer is told that we will write.
func Ask(ctx context.Context, server, token string, application []byte) (todo string, a Answer) {
	for range 2 {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/v1/applications", bytes.NewReader(application))
		if err != nil {
			break
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			continue
		}
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		res.Body.Close()
		if err != nil || json.Unmarshal(body, &a) != nil {
			continue
		}
		switch res.StatusCode {
		case http.StatusOK, http.StatusCreated:
			return map[string]string{"active": "open", "limited": "open within limits", "pending": "wait"}[a.AccountState], a
		case http.StatusUnprocessableEntity:
			return "correct", a // show Errors beside their fields
		}
	}
	return "hold", Answer{} // keep the application, post it again later
}

func main() {
	application, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	todo, a := Ask(context.Background(), os.Getenv("MUSTER_SERVER"), os.Getenv("MUSTER_TOKEN"), application)
	if todo == "" {
		todo = "do not open" // suspended, closing, closed
	}
	fmt.Println(todo)
	for _, n := range a.Decision.Needs {
		fmt.Println(" ", n.Words)
	}
	for _, e := range a.Errors {
		fmt.Println(" ", e.Pointer, e.Detail)
	}
	if a.Next != "" {
		fmt.Println(" ", a.Next)
	}
}
