/*
 * terminal - is a descriptor one, and how wide?
 */
#ifndef POOL__TERMINAL_H
#define POOL__TERMINAL_H

/* Columns; 80 where the terminal does not tell, 0 where `fd` is no terminal. Keeps errno. */
int pool__terminal_width(int fd);

#endif
