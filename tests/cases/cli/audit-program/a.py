import os
name = 'a'
