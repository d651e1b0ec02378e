/** Capabilities by their numbers, those that this kernel asks for. */
export const CAP_DAC_OVERRIDE = 1;
export const CAP_SETUID = 7;
export const CAP_IPC_LOCK = 14;
export const CAP_SYS_RAWIO = 17;
export const CAP_SYS_ADMIN = 21;
export const CAP_SYS_BOOT = 22;
export const CAP_SYS_RESOURCE = 24;
