// Command hot measures the hot path beside what people use today, in the same run: aws s3
// sync, rclone, s5cmd, a raw 64-way client (package rawclient) and cp -a. It builds its own
// trees, starts the embedded S3, and prints for each peer wall and CPU seconds, the largest
// resident set and the requests, and the ratio to the one that the row is compared with.
//
//	go run ./bench/hot                 # everything: a quarter of an hour
//	go run ./bench/hot -only small     # one part: small, home, large, live
//	go run ./bench/hot -latency 0      # directly only
//	go run ./bench/hot -peers rclone   # without the others; -peers none: without any
//	go run ./bench/hot -far            # with the latency only
//
// Server, peers and this program share the machine's cores, as a sandbox and its host do
// in tests; on another machine other figures come, which is why only ratios count.
//
// Every peer is a process of its own, ours too (role.go): what storage does from its start
// to the workload's, or from SIGTERM to the end.
package main
