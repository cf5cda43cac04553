#include "models/facts.h"
