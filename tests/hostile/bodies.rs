//! Bodies, uploads, sockets and files: nobody takes the places, the memory or the turns of others.
