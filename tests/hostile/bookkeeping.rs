//! What is counted and written down: nobody outside can stop it, falsify it or make it wait.
