using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Nibble.Core;

namespace Nibble.Training;

/// <summary>
/// Makes the native part of TorchSharp load on systems whose C++ library is of GCC 12 (Debian 12, Ubuntu 22.04).
/// </summary>
/// <remarks>
/// TorchSharp 0.107 was linked with GCC 13, and asks for version GLIBCXX_3.4.32 of libstdc++ for the sake of one function,
/// ios_base_library_init, which only says that the standard streams are set up; the older library sets them up by itself.
/// A copy that asks for another function without arguments instead, one that every version has and that does nothing,
/// loads everywhere. The copy lies where TorchSharp looks after its first attempt has failed.
/// </remarks>
internal static partial class Libtorch
{
    private const string Library = "libLibTorchSharp.so", Function = "_ZSt21ios_base_library_initv", Version = "GLIBCXX_3.4.32";
    private const string OlderFunction = "__cxa_get_globals", OlderVersion = "CXXABI_1.3";

    /// <summary>To be called before TorchSharp is first used.</summary>
    public static void Prepare()
    {
        if (!OperatingSystem.IsLinux()) return;
        WaitPassively();
        if (SystemHasFunction()) return;
        string folder = Path.Combine(AppContext.BaseDirectory, "cpu"), copy = Path.Combine(folder, Library);
        if (Find() is not { } original || (File.Exists(copy) && !IsUntouched(copy))) return;
        try
        {
            Directory.CreateDirectory(folder);
            string partial = $"{copy}.{Environment.ProcessId}";
            File.WriteAllBytes(partial, WithOlderFunction(File.ReadAllBytes(original)));
            File.Move(partial, copy, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UnusableInputException($"{copy}: cannot be written ({e.Message}); libtorch needs it, for the C++ library of this system is older than GCC 13's", e);
        }
    }

    /// <summary>
    /// Threads of libtorch that wait for each other shall sleep, not spin: on a machine that does something else too, the
    /// spinning takes the very core that the awaited thread needs, and two threads become six times slower than one.
    /// GNU's OpenMP reads this from the process's own environment, which .NET's variables do not reach.
    /// </summary>
    private static void WaitPassively() => _ = SetVariable("OMP_WAIT_POLICY", "PASSIVE", overwrite: 0);

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetVariable(string name, string value, int overwrite);

    private static bool SystemHasFunction() =>
        NativeLibrary.TryLoad("libstdc++.so.6", out nint library) && NativeLibrary.TryGetExport(library, Function, out _);

    private static bool IsUntouched(string copy) => File.ReadAllBytes(copy).AsSpan().IndexOf(Terminated(Version)) >= 0;

    /// <summary>The library among the folders that the host gives for native libraries, or null.</summary>
    private static string? Find() => ((AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string) ?? "").Split(Path.PathSeparator)
        .Append(AppContext.BaseDirectory).Where(f => f.Length > 0).Select(f => Path.Combine(f, Library)).FirstOrDefault(File.Exists);

    /// <summary>The library's bytes with the name of the function, the version it must have, and the hash of that version replaced.</summary>
    internal static byte[] WithOlderFunction(byte[] library)
    {
        Replace(library, Terminated(Function), Terminated(OlderFunction));
        Replace(library, Terminated(Version), Terminated(OlderVersion));
        Replace(library, Hash(Version), Hash(OlderVersion));
        return library;
    }

    private static void Replace(Span<byte> library, ReadOnlySpan<byte> old, ReadOnlySpan<byte> with)
    {
        int at = library.IndexOf(old);
        if (at < 0 || library[(at + 1)..].IndexOf(old) >= 0)
            throw new UnusableInputException($"{Library} does not load with the C++ library of this system, which is older than GCC 13's; training needs Debian 13, Ubuntu 24.04 or newer");
        library.Slice(at, old.Length).Clear();
        with.CopyTo(library[at..]);
    }

    private static byte[] Terminated(string name) => [0, .. System.Text.Encoding.ASCII.GetBytes(name), 0];

    /// <summary>The hash of a symbol version (System V ABI).</summary>
    private static byte[] Hash(string name)
    {
        uint hash = 0;
        foreach (char c in name)
        {
            hash = (hash << 4) + c;
            uint high = hash & 0xF0000000;
            hash = (hash ^ (high >> 24)) & ~high;
        }
        var bytes = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, hash);
        return bytes;
    }
}
