package course

// notWaiting changes nothing where no file is a pipe.
const notWaiting = 0
