#include "data/control.h"

#include <string.h>

void pool__message_encode(unsigned char bytes[POOL__MESSAGE_SIZE], const struct pool__message *message)
{
    uint32_t words[4];

    words[0] = (uint32_t)message->kind;
    words[1] = message->seat;
    words[2] = message->life;
    words[3] = message->board;
    memset(bytes, 0, POOL__MESSAGE_SIZE);
    memcpy(bytes, words, sizeof words);
    memcpy(bytes + sizeof words, &message->value, sizeof message->value);
}

bool pool__message_decode(const unsigned char bytes[POOL__MESSAGE_SIZE], struct pool__message *message)
{
    uint32_t words[4];
    uint64_t zero;

    memcpy(words, bytes, sizeof words);
    memcpy(&message->value, bytes + sizeof words, sizeof message->value);
    memcpy(&zero, bytes + sizeof words + sizeof message->value, sizeof zero);
    if (words[0] > POOL__SPAWN_FAILED || zero != 0)
        return false;
    message->kind = (enum pool__message_kind)words[0];
    message->seat = words[1];
    message->life = words[2];
    message->board = words[3];
    return true;
}
