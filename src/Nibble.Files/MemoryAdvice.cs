namespace Nibble.Files;

/// <summary>What a program will do with mapped memory; a hint to the operating system, which may ignore it.</summary>
public enum MemoryAdvice
{
    /// <summary>It will be read once, front to back.</summary>
    Sequential,
    /// <summary>It will be read soon: bring it in.</summary>
    WillNeed,
    /// <summary>It was read: its pages no longer count as this process's memory. A later read brings them back.</summary>
    DontNeed,
}
