#include "data/spin.h"

bool pool__spin_may(struct pool__spin *spin)
{
    if (spin->budget == 0)
        return false;
    if (spin->left == 0)
        return true;
    spin->left--;
    return false;
}

void pool__spin_hit(struct pool__spin *spin)
{
    spin->pause /= 2;
    spin->left = 0;
}

void pool__spin_vain(struct pool__spin *spin)
{
    spin->pause = spin->pause < POOL__SPIN_LEAST / 2 ? POOL__SPIN_LEAST : spin->pause * 2;
    if (spin->pause > POOL__SPIN_MOST)
        spin->pause = POOL__SPIN_MOST;
    spin->left = spin->pause;
}
