/* A receiver for procedure "message": reads a System V queue and prints one JSON object a line.
 *
 *   cc -O2 -Wall -o queue queue.c
 *   ./queue 0x4e4f524f              prints what comes
 *   ./queue 0x4e4f524f "taken"      and answers each with that text, for destinations with `reply: required`
 *
 * The receiver creates the queue: a missing one means to the sender that nobody listens. It reads messages of type 1
 * only (the type a destination has unless it says otherwise), never of any type: answers to the sender lie in the same
 * queue. What is to be answered carries "reply_type": the type that the sender waits for.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>

enum { TYPE = 1, LARGEST = 65536, ANSWER = 4096 };

static struct { long type; char text[LARGEST + 1]; } in;
static struct { long type; char text[ANSWER]; } out;

static int answer(int queue, const char *text)
{
    static const char member[] = "\"reply_type\":";
    const char *found = strstr(in.text, member);
    if (found == NULL)
        return 0;                       /* nobody waits for an answer to this one */
    out.type = strtol(found + sizeof member - 1, NULL, 10);
    size_t size = strlen(text) < ANSWER ? strlen(text) : ANSWER;
    memcpy(out.text, text, size);
    return msgsnd(queue, &out, size, 0);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s KEY [ANSWER]\n", argv[0]);
        return 2;
    }
    int queue = msgget((key_t)strtoul(argv[1], NULL, 0), IPC_CREAT | 0660);
    if (queue < 0) {
        perror("msgget");
        return 1;
    }
    for (;;) {
        ssize_t size = msgrcv(queue, &in, LARGEST, TYPE, 0);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0) {
            perror("msgrcv");
            return 1;
        }
        in.text[size] = '\0';
        puts(in.text);
        fflush(stdout);
        if (argc == 3 && answer(queue, argv[2]) < 0) {
            perror("msgsnd");
            return 1;
        }
    }
}
