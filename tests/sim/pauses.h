/* A pause of each node at each loop turn of one read, under a leader change
 * [reliability 7, F31].
 *
 * A read is asked for at each node in turn, and each node in turn is stopped
 * before its k-th loop turn from then on, for every k; at the same moment the
 * leader goes: by a hand-over, a cut, a crash, or because it is the one that is
 * stopped. Its successor takes a write. Once that was acknowledged, the node
 * that still sleeps, and the first reader's, are asked to read: what they
 * answer when all wake up is not what was before. */

#ifndef TESTS_SIM_PAUSES_H
#define TESTS_SIM_PAUSES_H

/* Returns the program's status. */
int pauses_run(void);

#endif /* TESTS_SIM_PAUSES_H */
