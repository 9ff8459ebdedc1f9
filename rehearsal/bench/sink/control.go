package main

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// control is the HTTP interface of the harness:
//
//	GET  /counters?after=NS   the counters; mails_after counts messages later than NS
//	POST /reset               start counting again
//	PUT  /answers             JSON object {"client address": "A record"}; the key "" is everybody else
func control(counted *counters, names *resolver) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/counters", func(w http.ResponseWriter, r *http.Request) {
		var after int64
		if text := r.URL.Query().Get("after"); text != "" {
			parsed, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				http.Error(w, "after must be Unix nanoseconds: "+err.Error(), http.StatusBadRequest)
				return
			}
			after = parsed
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(counted.read(after))
	})
	mux.HandleFunc("/reset", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.Error(w, "reset is a POST", http.StatusMethodNotAllowed)
			return
		}
		counted.reset()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/answers", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut {
			http.Error(w, "answers is a PUT", http.StatusMethodNotAllowed)
			return
		}
		table := map[string]string{}
		if err := json.NewDecoder(r.Body).Decode(&table); err != nil {
			http.Error(w, "answers must be a JSON object of strings: "+err.Error(), http.StatusBadRequest)
			return
		}
		if err := names.set(table); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}
