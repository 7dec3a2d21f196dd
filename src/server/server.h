/* The composition root: owns the loop, its timers and signals, and joins both
 * ends of each seam. It wires, it does not think.
 *
 * Counterpart: etcd contrib/raftexample main.go. */

#ifndef SRC_SERVER_SERVER_H
#define SRC_SERVER_SERVER_H

struct logger;
struct options;

/* Run a node until it is told to stop. Returns the exit status: 0 after
 * SIGTERM, SIGINT or removal from the cluster, 1 after a failure, which was
 * said in one line on the log. */
int server_run(const struct options *o, const struct logger *lg);

#endif /* SRC_SERVER_SERVER_H */
