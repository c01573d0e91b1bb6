/*
 * cpu_count - how many processors this process may use: those of its affinity mask, and no more than its control
 * groups pay for.
 *
 * A quota is time: 150 ms in every 100 ms are a processor and a half, and count as two. Groups lie in a tree, and
 * each bounds what lies below it, so the smallest from our own up to the top counts. In a container the top is often
 * all that can be seen; it is then found by the same walk.
 */
#ifndef POOL__CPU_COUNT_H
#define POOL__CPU_COUNT_H

/* At least 1. */
unsigned pool__cpu_count(void);

/* The processors of the affinity mask, or those online where there are no masks; at least 1. */
unsigned pool__cpu_affinity(void);

/*
 * What the control groups allow, rounded up; 0: no limit. `root` stands before every path ("" for the system's own;
 * tests make up a tree).
 */
unsigned pool__cpu_quota(const char *root);

/*
 * Pure: the text of cpu.max ("150000 100000" or "max 100000"), and the numbers of cpu.cfs_quota_us ("-1": none) and
 * cpu.cfs_period_us. 0: no limit, or no sense.
 */
unsigned pool__quota_from_cpu_max(const char *text);
unsigned pool__quota_from_cfs(const char *quota, const char *period);

#endif
