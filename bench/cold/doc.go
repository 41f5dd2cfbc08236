// Command cold measures the cold path beside what people mount S3 with today, in the same run:
// rclone mount, with its cache and without, s3fs, and as the yardstick a raw client (package
// rawclient) that asks for the same bytes and does nothing else. It starts the embedded S3, fills
// a bucket, mounts it with each peer in turn, and prints for each workload the seconds and
// the ratio to the raw client, and for each peer the bytes that it sent and its largest resident set.
//
//	go run ./bench/cold                  # everything: half an hour
//	go run ./bench/cold -only ls,random  # some workloads: ls, tree, sequential, in-turn, random, small, large-in, small-in, appends
//	go run ./bench/cold -latency 0       # directly only
//	go run ./bench/cold -own             # without the peers
//	go run ./bench/cold -scale 10        # a tenth of everything
//
// Each mount is a process of its own and fresh for each workload: nothing is cached, not even by
// the kernel. "warm" is the same once more. "in S3" is when the object or objects can be listed,
// which is what a peer's cp does not wait for when it writes behind.
//
// Server, mount and reader share the machine's cores; on another machine other figures come,
// which is why only ratios count. Run it as root: it mounts.
package main
